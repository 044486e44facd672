//! Running a program of someone else to its end, within a deadline, with everything it says.

use std::{
    fs::{self, File},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use slotway_tests::cluster::wait_until;

/// What is shown of a program that failed; the end says why.
const SHOWN_BYTES: usize = 6_000;

/// A program that ended. Standard output and error are one text, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) text: String,
}

impl Said {
    /// The text of a program that did what it was asked for.
    pub(crate) fn success(self) -> String {
        assert!(self.status.success(), "{}\n{}", self.status, tail(&self.text));
        self.text
    }
}

/// Runs to the end, with `input` as standard input.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Said {
    let mut said = tempfile::tempfile().expect("a file for what is said");
    let mut asked = tempfile::tempfile().expect("a file for the input");
    asked.write_all(input).and_then(|()| asked.rewind()).expect("the input is written");
    let copy = |file: &File| file.try_clone().expect("a second handle of a file");
    let spawned = command.stdin(asked).stdout(copy(&said)).stderr(copy(&said)).spawn();
    let mut ending = Ending(spawned.unwrap_or_else(|error| {
        panic!("cannot run {:?}: {error}; ./test --tools installs what tests need", command.get_program())
    }));
    let mut status = None;
    wait_until("the program ends", || {
        status = ending.0.try_wait().expect("the state of a child");
        status.is_some()
    });
    let mut text = Vec::new();
    said.rewind().and_then(|()| said.read_to_end(&mut text)).expect("what was said");
    Said { status: status.expect("it ended"), text: String::from_utf8_lossy(&text).into_owned() }
}

/// Nobody waits for a program longer than the test does.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may have ended in between; either way it is gone.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A program without the settings of whoever runs the tests.
pub(crate) fn program(path: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    for name in ["REDISCLI_AUTH", "REDISCLI_HISTFILE", "NODE_OPTIONS", "PYTHONPATH", "PYTHONHOME"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Where `./test --tools` puts the client libraries: `clients` in the target directory.
pub(crate) fn installed(part: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let found = test.ancestors().map(|dir| dir.join("clients").join(part)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("clients/{part} is nowhere above {}: run ./test --tools", test.display()))
}

/// A script of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name);
    assert!(fs::exists(&path).is_ok_and(|there| there), "{} is missing", path.display());
    path
}

pub(crate) fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(SHOWN_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}
