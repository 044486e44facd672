//! A made-up server: answers each request as it is told, and notes what it was asked.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use slotway_resp::{Frame, Limits};

const LIMITS: Limits = Limits {
    bulk_bytes_max: 1 << 20,
    words_max: 1 << 10,
    inline_bytes_max: 1 << 16,
    nesting_max: 4,
    unauthenticated: false,
};

/// The bytes of the reply to a request (words joined by spaces); None: silence.
type Answer = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A thread per connection.
pub(super) struct Server {
    pub(super) address: String,
    /// Requests other than INFO.
    told: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Answers INFO with a text, everything else with +OK.
    pub(super) fn start(info: &str) -> Server {
        Server::listen(TcpListener::bind("127.0.0.1:0").unwrap(), info)
    }

    pub(super) fn listen(listener: TcpListener, info: &str) -> Server {
        let info = bulk(info);
        Server::answering(listener, move |request| {
            Some(if request == "INFO" { info.clone() } else { "+OK\r\n".into() })
        })
    }

    pub(super) fn answering(
        listener: TcpListener,
        answer: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Server {
        let address = listener.local_addr().unwrap().to_string();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (answer, notes): (Answer, _) = (Arc::new(answer), Arc::clone(&told));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, notes) = (Arc::clone(&answer), Arc::clone(&notes));
                std::thread::spawn(move || Server::serve(stream.unwrap(), &answer, &notes));
            }
        });
        Server { address, told }
    }

    fn serve(mut stream: TcpStream, answer: &Answer, notes: &Mutex<Vec<String>>) {
        let (mut input, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            while let Some((Frame::Array(words), len)) = Frame::parse(&input, &LIMITS).unwrap() {
                input.drain(..len);
                let texts = words.iter().map(|word| match word {
                    Frame::Bulk(word) => String::from_utf8(word.clone()).unwrap(),
                    other => panic!("a request of {other:?}"),
                });
                let request = texts.collect::<Vec<_>>().join(" ");
                let answer = answer(&request);
                if request != "INFO" {
                    notes.lock().unwrap().push(request);
                }
                if answer.is_some_and(|answer| stream.write_all(answer.as_bytes()).is_err()) {
                    return;
                }
            }
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(len) => input.extend_from_slice(&chunk[..len]),
            }
        }
    }

    pub(super) fn told(&self, what: &str) -> Vec<String> {
        self.told.lock().unwrap().iter().filter(|request| request.contains(what)).cloned().collect()
    }
}

pub(super) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}
