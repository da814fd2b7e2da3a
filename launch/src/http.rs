//! The little of HTTP that asks a server for its metrics and its JSON: one request, one connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::{Error, ErrorKind, Result};

/// How long a server may take to answer. One that is stopped never does.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer that is read.
const BYTES_MAX: u64 = 16 << 20;

/// The body of a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    ask(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
        PATIENCE,
    )
}

/// The same, with a limit for the answer.
pub(crate) fn get_within(address: SocketAddr, path: &str, limit: Duration) -> Result<String> {
    ask(
        address,
        &format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
        limit,
    )
}

/// The answer to a request with a JSON body.
pub(crate) fn post(address: SocketAddr, path: &str, json: &str) -> Result<String> {
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
        json.len()
    );
    ask(address, &request, PATIENCE)
}

fn ask(address: SocketAddr, request: &str, limit: Duration) -> Result<String> {
    let unreachable = |error: std::io::Error| {
        Error::new(
            ErrorKind::Unreachable,
            format!("the server at {address} does not answer: {error}"),
        )
    };
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(unreachable)?;
    stream.set_read_timeout(Some(limit)).map_err(unreachable)?;
    stream.set_write_timeout(Some(limit)).map_err(unreachable)?;
    stream.write_all(request.as_bytes()).map_err(unreachable)?;
    let mut answer = Vec::new();
    // The end of the connection is the end of the answer: that is what version 1.0 asks for.
    stream
        .take(BYTES_MAX)
        .read_to_end(&mut answer)
        .map_err(unreachable)?;
    read(&String::from_utf8_lossy(&answer)).map_err(|seen| {
        let message = format!("the server at {address} answered: {seen}");
        Error::new(ErrorKind::Answer, message)
    })
}

/// The body of an answer, or what it says instead.
fn read(answer: &str) -> Result<String, String> {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| "something that is not HTTP".to_owned())?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(body.to_owned());
    }
    let body: String = body.chars().take(300).collect();
    Err(format!("status {status}: {}", body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_body_or_what_it_says_instead() {
        assert_eq!(read("HTTP/1.0 200 OK\r\nA: b\r\n\r\nhere").unwrap(), "here");
        let refused = read("HTTP/1.0 503 Service Unavailable\r\n\r\n{\"health\":\"false\"}\n").unwrap_err();
        assert_eq!(refused, "status 503: {\"health\":\"false\"}");
        assert!(read("hello").unwrap_err().contains("not HTTP"));
    }
}
