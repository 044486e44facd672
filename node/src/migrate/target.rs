//! Speaking with the server that keys go to: who we are and which database, then all keys in one go, with one line of
//! answer for each.
//!
//! redis-server sends the keys without waiting for the first answers, and where SELECT fails they lie in the wrong database.

use std::{io::ErrorKind, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::job::{Answers, Failed, Job};

/// Bytes that must go within the request's patience.
const STEP_BYTES: usize = 64 * 1024;

/// No answer to AUTH, SELECT or RESTORE is longer.
const LINE_BYTES_MAX: u64 = 4096;

/// Sends a job and collects the answers, as far as they come.
pub(super) async fn deliver(job: &Job) -> Answers {
    let (head, introduction) = job.introduction();
    let mut answers = Answers { introduction, ..Answers::default() };
    answers.failed = exchange(job, &head, introduction, &mut answers.lines).await.err();
    answers
}

async fn exchange(
    job: &Job,
    head: &[u8],
    introduction: usize,
    lines: &mut Vec<Vec<u8>>,
) -> Result<(), Failed> {
    let patience = job.request.patience;
    let port: u16 = job.request.port.parse().map_err(|_| Failed::Connecting)?;
    let connecting = TcpStream::connect((job.request.host.as_str(), port));
    let stream = match timeout(patience, connecting).await {
        Ok(Ok(stream)) => stream,
        // redis-server sees a refusal only when it writes.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => return Err(Failed::Writing),
        Ok(Err(_)) | Err(_) => return Err(Failed::Connecting),
    };
    stream.set_nodelay(true).map_err(|_| Failed::Connecting)?;
    let mut stream = BufReader::new(stream);
    send(&mut stream, head, patience).await?;
    read(&mut stream, lines, introduction, patience).await?;
    if lines.iter().any(|line| line.starts_with(b"-")) {
        return Ok(());
    }
    send(&mut stream, &job.cargo.restores, patience).await?;
    read(&mut stream, lines, introduction + job.cargo.parcels.len(), patience).await
}

async fn send(stream: &mut BufReader<TcpStream>, bytes: &[u8], patience: Duration) -> Result<(), Failed> {
    for step in bytes.chunks(STEP_BYTES) {
        let Ok(Ok(())) = timeout(patience, stream.write_all(step)).await else { return Err(Failed::Writing) };
    }
    Ok(())
}

/// Reads until there are so many lines.
async fn read(
    stream: &mut BufReader<TcpStream>,
    lines: &mut Vec<Vec<u8>>,
    wanted: usize,
    patience: Duration,
) -> Result<(), Failed> {
    while lines.len() < wanted {
        let mut line = Vec::new();
        let mut limited = (&mut *stream).take(LINE_BYTES_MAX);
        let reading = limited.read_until(b'\n', &mut line);
        let Ok(Ok(_)) = timeout(patience, reading).await else { return Err(Failed::Reading) };
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Failed::Reading) };
        lines.push(line.to_vec());
    }
    Ok(())
}
