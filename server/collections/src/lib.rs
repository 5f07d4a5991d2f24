//! Data structures under the keyspace. The only room that may hold `unsafe`.
