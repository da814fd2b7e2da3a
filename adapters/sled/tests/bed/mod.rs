//! How these tests open stores.

use std::sync::Arc;

use ringhold_core::{Backend, Clock, Result};
use ringhold_sled::{EmbeddedConfig, EmbeddedDurability, SledBackend};
use ringhold_testkit::async_trait;
use ringhold_testkit::embedded::{EmbeddedHarness, EmbeddedOpening};

pub(crate) struct Bed;

async fn open(opening: &EmbeddedOpening) -> Result<SledBackend> {
    let mut config = EmbeddedConfig::new(&opening.path, opening.fleet.clone());
    if opening.fast {
        config = config.durability(EmbeddedDurability::Fast);
    }
    if let Some((clock, time_of_day)) = opening.clocks.clone() {
        config = config
            .clock(Arc::new(clock))
            .time_of_day(move || time_of_day.now());
    }
    SledBackend::open(config).await
}

#[async_trait]
impl EmbeddedHarness for Bed {
    async fn open(&self, opening: &EmbeddedOpening) -> Result<Backend> {
        Ok(open(opening).await?.backend())
    }

    async fn faults(&self, opening: &EmbeddedOpening) -> Result<Vec<String>> {
        Ok(open(opening).await?.account().await?.examples)
    }

    async fn size(&self, opening: &EmbeddedOpening) -> Result<(usize, usize)> {
        let account = open(opening).await?.account().await?;
        Ok((account.keys, account.bytes))
    }
}
