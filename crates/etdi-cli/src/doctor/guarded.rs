//! What a guard of ours before the server lets its client see: nothing that is not approved.

use etdi::core::change::visible;

use super::offered::counted;
use super::{Examination, Fault, Whose};
use crate::args::Target;
use crate::ask::{Asker, Grants};
use crate::home::Home;
use crate::targets::guarded::Guarded;
use crate::unattended::{self, Unattended};
use crate::verbs::list::reviews;
use crate::verbs::target::{Opening, shown_target};

/// The step that says so.
const STEP: &str = "approvals";

/// Lists what the guard would, as whoever is before it sees it.
pub(super) fn examine(
    guard: &Guarded,
    target: &Target,
    home: &Home,
    examination: &mut Examination,
) -> Result<(), Fault> {
    examination.looking("looking for what is approved");
    // The output of `looking` is what is shown meanwhile; the verbs' own would come between.
    let opening = Opening::to_look(target, home, examination.output, Grants::all(Asker::Nobody));
    let (reviews, _) = reviews(opening).map_err(|failure| {
        // What is asked for there is not seen from here.
        let advice = match failure.code.as_str() {
            "GUARD_ELSEWHERE" => {
                "what that guard asks for is in another place: ask again as it is started"
            }
            _ => "the guard does not start the server before that is mended",
        };
        let fault = Fault::new(STEP, Whose::You, visible(&failure.message).into_owned(), advice);
        fault.exit(failure.exit).next(failure.next)
    })?;
    let shown = reviews.iter().filter(|review| review.is_approved()).count();
    let (all, again) = (counted(reviews.len(), "tool"), shown_target(target));
    if shown == reviews.len() {
        examination.passed(STEP, format!("the guard lets its client see {all}"));
        return Ok(());
    }
    // What was withdrawn or has changed is no first use.
    let is_first = reviews.iter().all(|review| review.code() == "NOT_APPROVED")
        && unattended::set(home, examination.output) > Unattended::Nothing;
    if guard.arguments.trust_first_use && shown == 0 && is_first {
        let what = format!(
            "none of its {all} is approved: the guard takes what it sees first, unless the scanner finds \
             something grave"
        );
        examination.passed(STEP, what);
        return Ok(());
    }
    let can_be = reviews.iter().any(|review| review.can_be_approved());
    let (advice, next) = match can_be {
        true => ("read what they say, and approve them", format!("etdi approve {again}")),
        false => ("see what is wrong with their signatures", format!("etdi verify {again}")),
    };
    if shown == 0 {
        let what = format!("the guard lets its client see none of its {all}: none is approved");
        let fault = Fault::new(STEP, Whose::You, what, advice);
        return Err(fault.exit(crate::exit::Exit::Refused).next(next));
    }
    let what = format!("the guard lets its client see {shown} of its {all}");
    examination.warned(STEP, Whose::You, what, format!("{advice}: {next}"));
    Ok(())
}
