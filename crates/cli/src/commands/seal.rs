//! `tally seal`: the two halves of a sealed bid.

use serde::Serialize;
use tally_protocol::Digest;
use tally_protocol::message::Reveal;
use tally_protocol::parts::Price;

use crate::args::SealArgs;
use crate::error::CliError;
use crate::output::Output;

#[derive(Serialize)]
struct Sealed {
    /// For the offer.
    commitment: Digest,
    /// For the reveal; until then it is a secret.
    salt: Digest,
    price: Price,
}

pub(crate) fn run(args: SealArgs, output: Output) -> Result<(), CliError> {
    let salt = Digest(rand::random());
    let SealArgs { intent, price, bidder } = args;
    let commitment = Reveal::commitment(&salt, &bidder, &intent, &price);
    output.answer(&Sealed { commitment, salt, price }, |sealed| {
        let Price { amount, currency } = &sealed.price;
        format!(
            "commitment {}\nsalt       {}\n\n\
             now:   {{\"offer\": {{\"intent\": \"{intent}\", \"capability\": \"…\", \
             \"commitment\": \"{}\"}}}}\n\
             then:  {{\"negotiate\": {{\"reveal\": {{\"offer\": \"…\", \"price\": \
             {{\"amount\": {amount}, \"currency\": \"{currency}\"}}, \"salt\": \"{}\"}}}}}}\n\
             keep the salt to yourself until the bids are opened; without it the bid is lost",
            sealed.commitment, sealed.salt, sealed.commitment, sealed.salt
        )
    });
    Ok(())
}
