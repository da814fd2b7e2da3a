//! A connection, whatever it is secured with.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{client, server};

use super::words::{self, CONNECT};

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Client(Box<client::TlsStream<TcpStream>>),
    Server(Box<server::TlsStream<TcpStream>>),
}

/// Does the same to each kind of connection.
macro_rules! each {
    ($io:expr, $inner:ident => $does:expr) => {
        match $io {
            Io::Plain($inner) => {
                let $inner = Pin::new($inner);
                $does
            }
            Io::Client($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $does
            }
            Io::Server($inner) => {
                let $inner = Pin::new(&mut **$inner);
                $does
            }
        }
    };
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => io.poll_read(cx, buffer)).map_err(explained)
    }
}

/// Under TLS 1.3 a server says what it makes of a client's certificate when the client takes the handshake
/// for done, so that is an error of reading.
fn explained(error: io::Error) -> io::Error {
    if words::tls_error(&error).is_none() {
        return error;
    }
    io::Error::new(error.kind(), words::handshake(CONNECT, error))
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), io => io.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Client(io) => io.is_write_vectored(),
            Self::Server(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), io => io.poll_shutdown(cx))
    }
}
