//! A node with clients on a disk that the test controls: what leaves when, and what is there after the power went.

mod crash;
mod gate;
mod load;
mod rewriting;

use slotway_config::{Program, Settings};

use super::{simulated::Simulated, *};
use crate::connection::tests::{Hall, in_hall};

/// Runs a test beside a node whose log is on this disk, with these settings; an error says why it could not be loaded.
fn in_hall_on(
    disk: &Simulated,
    settings: &[(&str, &str)],
    test: impl AsyncFnOnce(&mut Hall),
) -> Result<(), String> {
    let mut outcome = Ok(());
    in_hall(async |hall| {
        if let Err(error) = begin(hall, disk, settings).await {
            outcome = Err(error);
            return;
        }
        test(hall).await;
        let closing = hall.thread.node.borrow_mut().persistence.log.close();
        closing.wait();
    });
    outcome
}

/// The node has its log on this disk, and has not read it.
fn open(hall: &Hall, disk: &Simulated, given: &[(&str, &str)]) -> Result<(), String> {
    let node = &mut *hall.thread.node.borrow_mut();
    let mut settings = Settings::defaults(Program::Node);
    settings.set(&[("appendonly", "yes")]).unwrap();
    settings.set(given).unwrap();
    let opened = node.persistence.log.open(Arc::new(disk.clone()), &settings);
    opened.map_err(|error| error.to_string())?;
    node.settings = settings;
    node.settings_changed();
    Ok(())
}

async fn begin(hall: &mut Hall, disk: &Simulated, given: &[(&str, &str)]) -> Result<(), String> {
    open(hall, disk, given)?;
    let loaded = super::load::start(&hall.thread, Arc::default()).await;
    loaded.map_err(|error| error.to_string())?;
    hall.tasks.spawn_local(run(Rc::clone(&hall.thread)));
    hall.tasks.spawn_local(rewrite::run(Rc::clone(&hall.thread)));
    hall.tasks.spawn_local(crate::shutdown::run::run(Rc::clone(&hall.thread)));
    Ok(())
}
