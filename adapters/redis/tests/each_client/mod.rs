//! The same tests with each client library that is compiled in.

/// One test of each function for each client library, whose name it gets as the end of a URL.
macro_rules! on_each_client {
    ($($test:ident)+) => {
        mod redis {
            $(#[test]
            fn $test() {
                super::$test("&client=redis");
            })+
        }

        #[cfg(feature = "fred")]
        mod fred {
            $(#[test]
            fn $test() {
                super::$test("&client=fred");
            })+
        }
    };
}

pub(crate) use on_each_client;
