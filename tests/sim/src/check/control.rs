//! I13: a group whose nodes are all there goes on without its sentinels, under the same master.

use super::Breach;

const PROPERTY: &str = "a group goes on without its sentinels";

/// What became of it once every lease was over: is the mastership the same, and how many writes were done?
pub fn judge(same_master: bool, writes: u64) -> Result<(), Breach> {
    if !same_master {
        return Err(Breach::of(PROPERTY, "another master was published without a majority"));
    }
    if writes == 0 {
        return Err(Breach::of(PROPERTY, "no write was done any more"));
    }
    Ok(())
}
