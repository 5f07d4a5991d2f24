//! Directives of every process, in redis.conf syntax and YAML, from one table.
