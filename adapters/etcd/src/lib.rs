//! Ringhold on etcd.
