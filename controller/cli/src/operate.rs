//! `status`, `failover`, `watch`, `history`: one call to the sentinels, shown to people or as JSON.

use std::time::Duration;

use quorate_rpc::v1;
use serde::Serialize;
use tonic::Code;

use crate::args::{Failover, History, Status, Watch};
use crate::control::{Again, Control};
use crate::{Outcome, show};

/// Between two attempts to follow events again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs a command's future on a runtime of one thread.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime of one thread needs nothing but memory").block_on(future)
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("the API's messages are plain data")
}

pub(crate) fn finish(result: Result<Outcome, Outcome>) -> Outcome {
    result.unwrap_or_else(|outcome| outcome)
}

/// What `status --json` prints.
#[derive(Serialize)]
struct Picture {
    groups: Vec<v1::Group>,
    sentinels: Vec<v1::SentinelInfo>,
    term: u64,
}

/// `quorate status`.
pub fn status(flags: &Status) -> Outcome {
    finish(block_on(async {
        let control = Control::new(&flags.api)?;
        let (groups, sentinels) = control
            .call(Again::Yes, async |mut client| {
                let groups = match &flags.group {
                    Some(group) => {
                        vec![client.get_group(v1::GetGroupRequest { group: group.clone() }).await?.into_inner()]
                    }
                    None => client.list_groups(v1::ListGroupsRequest {}).await?.into_inner().groups,
                };
                Ok((groups, client.list_sentinels(v1::ListSentinelsRequest {}).await?.into_inner()))
            })
            .await?;
        let well = groups.iter().all(|group| group.status == "ok");
        if flags.api.json {
            println!("{}", json(&Picture { groups, sentinels: sentinels.sentinels, term: sentinels.term }));
        } else {
            for group in &groups {
                anstream::println!("{}", show::group(group));
            }
            anstream::print!("{}", show::sentinels(&sentinels));
        }
        Ok(if well { Outcome::Done } else { Outcome::Unwell })
    }))
}

/// `quorate failover`.
pub fn failover(flags: &Failover) -> Outcome {
    finish(block_on(async {
        let control = Control::new(&flags.api)?;
        let request = v1::FailoverRequest {
            group: flags.group.clone(),
            candidate: flags.to.clone().unwrap_or_default(),
            force: flags.force,
            accept_loss: flags.accept_loss,
        };
        let reply = control
            .call(Again::OnlyIfRefused, async |mut client| Ok(client.failover(request.clone()).await?.into_inner()))
            .await?;
        if flags.api.json {
            println!("{}", json(&reply));
            return Ok(Outcome::Done);
        }
        let master = reply.master.unwrap_or_default();
        let paused = match reply.paused_ms {
            0 => "without a handover".to_owned(),
            ms => format!("writes paused {ms} ms"),
        };
        println!(
            "{}: {}:{} is the master in epoch {} (took {} ms, {paused})",
            master.group, master.host, master.port, master.epoch, reply.took_ms,
        );
        Ok(Outcome::Done)
    }))
}

/// `quorate history`: the newest events, the newest last, so that the prompt stands below it.
pub fn history(flags: &History) -> Outcome {
    finish(block_on(async {
        let control = Control::new(&flags.api)?;
        let request = v1::HistoryRequest { group: flags.group.clone().unwrap_or_default(), limit: flags.limit };
        let reply = control
            .call(Again::Yes, async |mut client| Ok(client.history(request.clone()).await?.into_inner()))
            .await?;
        for event in reply.entries.iter().rev() {
            if flags.api.json {
                println!("{}", json(event));
            } else {
                anstream::println!("{}", show::event(event));
            }
        }
        Ok(Outcome::Done)
    }))
}

/// `quorate watch`: follows until it is stopped; a sentinel that goes away is replaced by the next.
pub fn watch(flags: &Watch) -> Outcome {
    finish(block_on(async {
        let control = Control::new(&flags.api)?;
        let group = flags.group.clone().unwrap_or_default();
        let as_json = flags.api.json;
        follow(&control, group, flags.from, |event| {
            if as_json {
                println!("{}", json(event));
            } else {
                anstream::println!("{}", show::event(event));
            }
        })
        .await
    }))
}

/// Hands every event to `seen`, resuming after the last committed one when a stream breaks. Ends only with a refusal, or when no sentinel
/// ever answered.
pub async fn follow(
    control: &Control,
    group: String,
    from: u64,
    mut seen: impl FnMut(&v1::Event),
) -> Result<Outcome, Outcome> {
    let mut next = from;
    if next == 0 {
        // From now on, yet without a gap should the stream break: after the newest event that there is.
        let newest = v1::HistoryRequest { group: group.clone(), limit: 1 };
        let newest =
            control.call(Again::Yes, async |mut client| Ok(client.history(newest.clone()).await?.into_inner()));
        next = newest.await?.entries.first().map_or(0, |event| event.index + 1);
    }
    let mut connected = false;
    loop {
        let request = v1::WatchRequest { group: group.clone(), from_index: next };
        let opened =
            control.call(Again::Yes, async |mut client| Ok(client.watch(request.clone()).await?.into_inner())).await;
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(Outcome::Unreachable(_)) if connected => {
                tokio::time::sleep(RETRY_AFTER).await;
                continue;
            }
            Err(outcome) => return Err(outcome),
        };
        connected = true;
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    // Soft events carry no index: they cannot be asked for again.
                    if event.index > 0 {
                        next = event.index + 1;
                    }
                    seen(&event);
                }
                Ok(None) => break,
                Err(status) if status.code() == Code::OutOfRange => {
                    eprintln!("quorate: {}; going on with what is new", status.message());
                    next = 0;
                    break;
                }
                Err(_) => break,
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}
