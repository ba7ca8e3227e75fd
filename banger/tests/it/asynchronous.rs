//! The calls as futures: inside a runtime, on several tasks, and dropped halfway.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use banger::{BuildRequest, Cancellation, ErrorKind, EventHandler};
use camino::Utf8PathBuf;

fn source() -> (tempfile::TempDir, Utf8PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(dir.path().to_owned()).unwrap();
    std::fs::create_dir(path.join("tree")).unwrap();
    std::fs::write(path.join("tree/file"), "content").unwrap();
    (dir, path)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn futures_run_side_by_side_inside_a_runtime() {
    let (_dir, path) = source();
    runtime().block_on(async {
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let (request, output) =
                    (BuildRequest::new(path.join("tree")), path.join(format!("{number}.ext4")));
                tokio::spawn(async move {
                    banger::build_async(&request, &output, &EventHandler::none(), &Cancellation::new()).await
                })
            })
            .collect();
        for task in tasks {
            let built = task.await.unwrap().unwrap();
            assert!(built.path.exists());
        }
    });
}

#[test]
fn a_future_that_is_dropped_stops_its_run() {
    let (_dir, path) = source();
    let (began, waiting) = mpsc::channel();
    let go_on = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&go_on);
    let events = EventHandler::new(move |_| {
        let _ = began.send(());
        while !held.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        ControlFlow::Continue(())
    });
    let (request, output) = (BuildRequest::new(path.join("tree")), path.join("out.ext4"));
    let cancellation = Cancellation::new();
    let runtime = runtime();
    let task = {
        let (output, cancellation) = (output.clone(), cancellation.clone());
        runtime.spawn(async move { banger::build_async(&request, &output, &events, &cancellation).await })
    };
    waiting.recv_timeout(Duration::from_secs(60)).expect("the run tells of its steps");
    task.abort();
    // The abort has dropped the future when the task can be joined.
    assert!(runtime.block_on(task).expect_err("it was aborted").is_cancelled());
    go_on.store(true, Ordering::SeqCst);
    // Waits for the thread of the run.
    drop(runtime);
    assert!(!output.exists(), "a run that was stopped publishes nothing");
    assert!(!cancellation.is_cancelled(), "the caller's own flag is as it was");
    let left: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["tree"]);
}

#[test]
fn a_panic_of_the_handler_comes_out_of_the_future() {
    let (_dir, path) = source();
    let events = EventHandler::new(|_| std::panic::resume_unwind(Box::new("the handler's own")));
    let (request, output) = (BuildRequest::new(path.join("tree")), path.join("out.ext4"));
    let panic = runtime()
        .block_on(async move {
            tokio::spawn(async move {
                banger::build_async(&request, &output, &events, &Cancellation::new()).await
            })
            .await
        })
        .expect_err("the panic goes on")
        .into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"the handler's own"));
}

#[test]
fn a_cancelled_future_returns() {
    let (_dir, path) = source();
    let (request, output) = (BuildRequest::new(path.join("tree")), path.join("out.ext4"));
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let error = runtime()
        .block_on(banger::build_async(&request, &output, &EventHandler::none(), &cancellation))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
