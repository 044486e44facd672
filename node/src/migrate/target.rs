//! Speaking with the server that keys go to: what it is to do in one go, then one line of answer for each.

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
    let wanted = introduction + job.parcels.len();
    answers.failed = exchange(job, &head, wanted, &mut answers.lines).await.err();
    answers
}

async fn exchange(job: &Job, head: &[u8], wanted: usize, lines: &mut Vec<Vec<u8>>) -> Result<(), Failed> {
    let patience = job.request.patience;
    let port: u16 = job.request.port.parse().map_err(|_| Failed::Connecting)?;
    let connecting = TcpStream::connect((job.request.host.as_str(), port));
    let connected = timeout(patience, connecting).await;
    let Ok(Ok(mut stream)) = connected else { return Err(Failed::Connecting) };
    stream.set_nodelay(true).map_err(|_| Failed::Connecting)?;
    for step in [head].into_iter().chain(job.restores.chunks(STEP_BYTES)) {
        let Ok(Ok(())) = timeout(patience, stream.write_all(step)).await else { return Err(Failed::Writing) };
    }
    let mut reader = BufReader::new(stream);
    while lines.len() < wanted {
        let mut line = Vec::new();
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        let reading = limited.read_until(b'\n', &mut line);
        let Ok(Ok(_)) = timeout(patience, reading).await else { return Err(Failed::Reading) };
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Failed::Reading) };
        lines.push(line.to_vec());
    }
    Ok(())
}
