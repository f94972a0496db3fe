//! What every store promises. Each test runs on each of them.

mod changes;
mod read;
mod together;
mod write;

/// Runs tests on all stores. A test takes [`crate::stores::Stores`].
macro_rules! on_every_store {
    ($($test:ident),+ $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::stores::Stores::memory().await).await;
            })+
        }
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::stores::Stores::sqlite().await).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::stores::Stores::postgres().await).await;
            })+
        }
    };
}
use on_every_store;
