//! The client against a server that speaks HTTP by hand and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::*;
use grange_api::{Status, Token};

/// A request as it arrived: its first line, its token, its body, and on which connection.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    line: String,
    token: String,
    body: String,
    connection: usize,
}

/// A server that gives these answers in this order, then closes.
fn server(answers: Vec<(u16, &'static str, String)>) -> (Client, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        let mut answers = answers.into_iter();
        for (connection, stream) in listener.incoming().enumerate() {
            let mut reader = BufReader::new(stream.unwrap());
            while let Some(request) = request(&mut reader, connection) {
                let head = request.line.starts_with("HEAD");
                sender.send(request).unwrap();
                let Some(answer) = answers.next() else { return };
                respond(reader.get_mut(), answer, head);
            }
        }
    });
    (Client::new("status", api, "secret".into(), "/nowhere".into()), asked)
}

fn request(reader: &mut BufReader<TcpStream>, connection: usize) -> Option<Asked> {
    let (mut line, mut token, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        match field.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("authorization", value)) => token = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).unwrap();
    Some(Asked { line: line.trim_end().to_owned(), token, body, connection })
}

fn respond(stream: &mut TcpStream, (status, kind, body): (u16, &str, String), head: bool) {
    let length = body.len();
    let fields = format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(fields.as_bytes()).unwrap();
    if !head {
        stream.write_all(body.as_bytes()).unwrap();
    }
}

const JSON: &str = "application/json";

#[test]
fn calls_go_over_one_connection_with_the_token() {
    let token = r#"{"token":"new"}"#.to_owned();
    let blob = BlobId::of(b"hello");
    let (client, asked) = server(vec![
        (404, JSON, String::new()),
        (200, JSON, format!(r#"{{"id":"{blob}","size":5}}"#)),
        (200, JSON, String::new()),
        (200, JSON, token),
    ]);
    assert!(!client.has(blob).unwrap());
    client.put(blob, b"hello").unwrap();
    assert!(client.has(blob).unwrap());
    assert_eq!(client.ask::<Token>(&Call::RotateToken).unwrap().token, "new");
    let expected =
        [("HEAD", "blobs", ""), ("PUT", "blobs", "hello"), ("HEAD", "blobs", ""), ("POST", "keys/token", "")];
    for (method, path, body) in expected {
        let asked = asked.recv().unwrap();
        assert!(asked.line.starts_with(&format!("{method} /v1/{path}")), "{}", asked.line);
        assert_eq!((asked.token.as_str(), asked.body.as_str(), asked.connection), ("bearer secret", body, 0));
    }
}

#[test]
fn a_refusal_is_the_problem_that_the_node_told() {
    let problem = Problem::new(ProblemCode::BudgetTooLow, "deploy", "shop", "1 credit pays for nothing");
    let (client, _asked) = server(vec![
        (402, "application/problem+json", serde_json::to_string(&problem).unwrap()),
        (502, "text/html", "<h1>oh</h1>".into()),
        (200, JSON, "{}".into()),
        (401, JSON, String::new()),
    ]);
    assert_eq!(client.ask::<Status>(&Call::Status).unwrap_err(), problem);
    let unknown = client.ask::<Status>(&Call::Status).unwrap_err();
    assert_eq!((unknown.code, unknown.message.as_str()), (ProblemCode::Internal, "the node answered 502 and not why"));
    assert_eq!(client.ask::<Status>(&Call::Status).unwrap_err().code, ProblemCode::Internal);
    assert_eq!(client.has(BlobId::of(b"")).unwrap_err().code, ProblemCode::Unauthorized);
}

#[test]
fn a_stream_that_breaks_off_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().unwrap().0);
        request(&mut reader, 0).unwrap();
        // It promises more than it gives.
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"phase\":\"match\",\"ms\":1}\n";
        reader.get_mut().write_all(text.as_bytes()).unwrap();
    });
    let client = Client::new("status", api, "secret".into(), "/nowhere".into());
    let lines = client.lines(&Call::Deployments).unwrap();
    assert!(matches!(lines.next(), Ok(Some(grange_api::Line::Phase(_)))));
    assert_eq!(lines.next().unwrap_err().code, ProblemCode::NoNode);
}

#[test]
fn nobody_there_is_no_node() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let problem =
        Client::new("status", api, "secret".into(), "/nowhere".into()).ask::<Status>(&Call::Status).unwrap_err();
    assert_eq!(problem.code, ProblemCode::NoNode);
    assert!(problem.remedy.contains("`grange up`") && problem.remedy.contains("`grange dev`"));
}
