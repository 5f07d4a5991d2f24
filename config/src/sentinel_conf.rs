//! Reading a sentinel's configuration.

use crate::conf::Reader;
use crate::error::ConfigError;
use crate::sentinel::SentinelConfig;

pub(crate) fn load(
    _file: Option<(&str, &str)>,
    _options: &[String],
    _read: Reader<'_>,
) -> Result<SentinelConfig, ConfigError> {
    todo!()
}
