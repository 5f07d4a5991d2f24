//! `quorate drill`.
use crate::Outcome;
use crate::args::Drill;
pub(crate) fn command(_flags: &Drill) -> Outcome {
    Outcome::Failed("not there yet".into())
}
