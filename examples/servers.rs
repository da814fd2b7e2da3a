//! Every enabled backend, running until the input ends: something to try the program on.
//!
//! ```text
//! $ cargo run --features testing,redis-cluster --example servers
//! memory embedded memory:?fleet=test-1
//! redis-cluster shared redis-cluster://127.0.0.1:40001?node=127.0.0.1:40002&fleet=test-2
//! ready
//! ```
//!
//! One line for each: its name, whether processes can share it, and a URL. Then it reads its standard input
//! to the end, and everything is gone.

use std::error::Error;
use std::io::{self, Write};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let backends = ringhold::testing::backends().await?;
    let mut stdout = io::stdout();
    for backend in &backends {
        let kind = if backend.is_shared() { "shared" } else { "embedded" };
        writeln!(stdout, "{backend} {kind} {}", backend.url())?;
    }
    writeln!(stdout, "ready")?;
    stdout.flush()?;
    tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink())).await??;
    Ok(())
}
