//! What an interrupt does.

use banger::Cancellation;

use crate::printer::Printer;

/// Returns a flag that an interrupt sets; a second interrupt ends the process at once.
pub(crate) fn cancel_on_signal(printer: &Printer) -> Cancellation {
    let cancellation = Cancellation::default();
    let (flag, printer) = (cancellation.clone(), printer.clone());
    let handler = move || {
        if flag.is_cancelled() {
            std::process::exit(130);
        }
        printer.note("stopping; interrupt again to stop at once");
        flag.cancel();
    };
    // Without a handler an interrupt ends the process, and the next start sweeps what it left.
    let _ = ctrlc::set_handler(handler);
    cancellation
}
