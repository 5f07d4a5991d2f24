//! SIGTERM and SIGINT end the process in good order; a second one ends it at once.

use std::{io, thread};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::mailbox::{Mail, Mailbox};

/// Watches for signals on a thread of its own.
pub(crate) fn watch(mailbox: Mailbox) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut told = false;
        for signal in signals.forever() {
            if told {
                tracing::warn!(signal, "second signal: leaving at once");
                std::process::exit(1);
            }
            tracing::info!(signal, "signal received: shutting down");
            told = mailbox.send(Mail::Terminate);
        }
    })?;
    Ok(())
}
