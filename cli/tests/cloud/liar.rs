//! What a dishonest node looks like to a command: a proxy before a node's API that alters one block of its answers.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// Which field of the line of which height is altered.
type Lie = Arc<Mutex<Option<(u64, &'static str)>>>;

pub(crate) struct Liar {
    pub(crate) api: String,
    lie: Lie,
}

impl Liar {
    /// Passes on what the node at this API answers, unaltered at first.
    pub(crate) fn before(node: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        let (lie, node) = (Lie::default(), node.to_owned());
        let told = Arc::clone(&lie);
        // It ends with the process.
        thread::spawn(move || {
            for caller in listener.incoming().flatten() {
                let (node, told) = (node.clone(), Arc::clone(&told));
                thread::spawn(move || answer(&caller, &node, &told));
            }
        });
        Self { api, lie }
    }

    /// From now on one character of this field of this block is another one.
    pub(crate) fn alter(&self, height: u64, field: &'static str) {
        *self.lie.lock().unwrap() = Some((height, field));
    }
}

/// One request to read something, passed on with its token.
fn answer(mut caller: &TcpStream, node: &str, lie: &Lie) {
    let head: Vec<String> =
        BufReader::new(caller).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    // Who only looks whether somebody listens sends nothing.
    let Some(target) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
    let token = head.iter().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default();
    let request = ureq::get(format!("{node}{target}")).header("authorization", token);
    let mut body = request.call().unwrap().body_mut().read_to_string().unwrap();
    if let Some((height, field)) = lie.lock().unwrap().filter(|_| target.starts_with("/v1/ledger/blocks")) {
        body = body.lines().map(|line| altered(line, height, field) + "\n").collect();
    }
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    // A caller that has found the lie hangs up before the end.
    let _ = caller.write_all((head + &body).as_bytes());
}

fn altered(line: &str, height: u64, field: &str) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    if line["height"] == height {
        let mut bytes = line[field].as_str().unwrap().as_bytes().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        line[field] = String::from_utf8(bytes).unwrap().into();
    }
    line.to_string()
}
