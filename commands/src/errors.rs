//! Error texts.
use slotway_resp::Request;
use crate::row::Command;

/// Why a request names no command that can run. The whole text of the error reply, code included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    pub text: Vec<u8>,
}

pub fn unknown_command(request: Request<'_>) -> CommandError {
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(cut(request.word(0), 128));
    text.extend_from_slice(b"', with args beginning with: ");
    let mut args = Vec::new();
    for word in request.words().skip(1) {
        if args.len() >= 128 {
            break;
        }
        args.push(b'\'');
        let room = 128 - (args.len() - 1);
        args.extend_from_slice(cut(word, room));
        args.extend_from_slice(b"' ");
    }
    text.extend_from_slice(&args);
    CommandError { text }
}

pub fn unknown_subcommand(request: Request<'_>) -> CommandError {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(cut(request.word(1), 128));
    text.extend_from_slice(b"'. Try ");
    text.extend(request.word(0).iter().map(u8::to_ascii_uppercase));
    text.extend_from_slice(b" HELP.");
    CommandError { text }
}

pub fn wrong_arity(row: &Command) -> CommandError {
    CommandError { text: format!("ERR wrong number of arguments for '{}' command", row.name).into_bytes() }
}

fn cut(word: &[u8], max: usize) -> &[u8] {
    let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
    &word[..end.min(max)]
}
