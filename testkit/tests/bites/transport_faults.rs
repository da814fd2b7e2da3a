//! What is wrong with a broken transport, and the rule that must notice it.

use super::Case;

/// One thing that a broken transport does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    Sound,
    TheCallerIsForgotten,
    ThePlayerIsForgotten,
    TheKeyIsForgotten,
    TheTraceIsForgotten,
    TheTimeIsForgotten,
    CallsAreMadeTwice,
    EveryErrorIsUnavailable,
    ErrorsLoseTheirWords,
    ErrorsForgetWhetherToRepeat,
    ErrorsLoseTheirOwner,
    NobodyIsNotFound,
    StreamsToNobodyAreNotFound,
    GuardsStopNothing,
    AnyRunWillDo,
    AnyRunTakesStreams,
    OneCallAtATime,
    APanicEndsServing,
    LargeBodiesAreCut,
    LargeRepliesAreCut,
    TimeIsNeverOver,
    LateIsUnavailable,
    TimeIsShort,
    HandlersGoOn,
    MessagesWaitForTheNext,
    OneMessageIsLost,
    OneMessageComesTwice,
    TwoMessagesAreSwapped,
    TwoMessagesAreJoined,
    ImpatientReadersLoseMessages,
    EveryStreamIsTaken,
    PanicsAreCorrupt,
    TheLastMessageIsLost,
    EndsAreNotTold,
    EndsAreDrops,
    OneEndIsBoth,
    ADropTakesBackWhatWasSent,
    ErrorsAreCleanEnds,
    DropsAreNotTold,
    DropsAreCleanEnds,
    GoneReadersAreNotTold,
    NobodyIsHeldBack,
    OneThatDoesNotFitIsLost,
    StreamsHoldUpCalls,
    StreamsHoldUpEachOther,
    LargeMessagesAreCut,
    LargeMessagesAreRefused,
}

pub(crate) const CASES: &[Case<Fault>] = &[
    (
        Fault::TheCallerIsForgotten,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::ThePlayerIsForgotten,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::TheKeyIsForgotten,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::TheTraceIsForgotten,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::TheTimeIsForgotten,
        "call_reaches_the_handler",
        "time does not grow",
    ),
    (
        Fault::CallsAreMadeTwice,
        "call_reaches_the_handler",
        "the request is what was sent",
    ),
    (
        Fault::EveryErrorIsUnavailable,
        "an_error_keeps_its_kind",
        "on purpose",
    ),
    (
        Fault::ErrorsLoseTheirWords,
        "an_error_keeps_its_kind",
        "must come through",
    ),
    (
        Fault::ErrorsForgetWhetherToRepeat,
        "an_error_keeps_its_kind",
        "whether to repeat it must",
    ),
    (
        Fault::ErrorsLoseTheirOwner,
        "an_error_keeps_its_kind",
        "the owner must",
    ),
    (
        Fault::NobodyIsNotFound,
        "nobody_serves_is_unavailable",
        "a call of a node that never served: must be `unavailable`",
    ),
    (
        Fault::StreamsToNobodyAreNotFound,
        "nobody_serves_is_unavailable",
        "a stream to a node that never served: must be `unavailable`",
    ),
    (
        Fault::GuardsStopNothing,
        "nobody_serves_is_unavailable",
        "after the guard was dropped: must be",
    ),
    (
        Fault::AnyRunWillDo,
        "an_older_run_is_not_called",
        "a call of another run than the one that serves",
    ),
    (
        Fault::AnyRunTakesStreams,
        "an_older_run_is_not_called",
        "a stream to another run than the one that serves",
    ),
    (
        Fault::OneCallAtATime,
        "calls_run_beside_each_other",
        "for the handler to get a call",
    ),
    (
        Fault::APanicEndsServing,
        "a_panic_is_an_error",
        "a call after a panic",
    ),
    (
        Fault::LargeBodiesAreCut,
        "a_large_body_is_too_large",
        "a request with one byte over",
    ),
    (
        Fault::LargeRepliesAreCut,
        "a_large_body_is_too_large",
        "a reply with one byte over",
    ),
    (
        Fault::TimeIsNeverOver,
        "a_call_ends_when_its_time_is_over",
        "for a late call to end",
    ),
    (
        Fault::LateIsUnavailable,
        "a_call_ends_when_its_time_is_over",
        "must be `timeout`",
    ),
    (
        Fault::TimeIsShort,
        "a_call_ends_when_its_time_is_over",
        "must not end before",
    ),
    (
        Fault::HandlersGoOn,
        "a_call_ends_when_its_time_is_over",
        "for the handler's future to be dropped",
    ),
    (
        Fault::ThePlayerIsForgotten,
        "a_stream_carries_both_ways",
        "the stream's request is what was sent",
    ),
    (
        Fault::TheTimeIsForgotten,
        "a_stream_carries_both_ways",
        "time does not grow on the way of a stream",
    ),
    (
        Fault::MessagesWaitForTheNext,
        "a_stream_carries_both_ways",
        "for a message to arrive",
    ),
    (
        Fault::OneMessageIsLost,
        "a_stream_carries_both_ways",
        "is not the one that was sent",
    ),
    (
        Fault::OneMessageComesTwice,
        "a_stream_carries_both_ways",
        "is not the one that was sent",
    ),
    (
        Fault::TwoMessagesAreSwapped,
        "a_stream_carries_both_ways",
        "is not the one that was sent",
    ),
    (
        Fault::TwoMessagesAreJoined,
        "a_stream_carries_both_ways",
        "is not the one that was sent",
    ),
    (
        Fault::ImpatientReadersLoseMessages,
        "a_stream_carries_both_ways",
        "is not the one that was sent",
    ),
    (
        Fault::EveryStreamIsTaken,
        "a_refused_stream_is_an_error",
        "a stream that is refused: must be `not_found`, and succeeded",
    ),
    (
        Fault::EveryErrorIsUnavailable,
        "a_refused_stream_is_an_error",
        "on purpose",
    ),
    (
        Fault::ErrorsLoseTheirWords,
        "a_refused_stream_is_an_error",
        "must come through",
    ),
    (
        Fault::ErrorsForgetWhetherToRepeat,
        "a_refused_stream_is_an_error",
        "whether to repeat it must",
    ),
    (
        Fault::ErrorsLoseTheirOwner,
        "a_refused_stream_is_an_error",
        "the owner must",
    ),
    (
        Fault::PanicsAreCorrupt,
        "a_refused_stream_is_an_error",
        "whose handler panics: must be `unavailable`",
    ),
    (
        Fault::TimeIsNeverOver,
        "a_refused_stream_is_an_error",
        "for a stream to open",
    ),
    (
        Fault::LateIsUnavailable,
        "a_refused_stream_is_an_error",
        "not decided on: must be `timeout`",
    ),
    (
        Fault::HandlersGoOn,
        "a_refused_stream_is_an_error",
        "for the handler's future to be dropped",
    ),
    (
        Fault::TheLastMessageIsLost,
        "a_stream_ends_as_it_was_ended",
        "all that was sent comes before the end",
    ),
    (
        Fault::EndsAreNotTold,
        "a_stream_ends_as_it_was_ended",
        "for the end of a stream",
    ),
    (
        Fault::EndsAreDrops,
        "a_stream_ends_as_it_was_ended",
        "receive the end: must succeed",
    ),
    (
        Fault::OneEndIsBoth,
        "a_stream_ends_as_it_was_ended",
        "send: must succeed",
    ),
    (
        Fault::ADropTakesBackWhatWasSent,
        "a_stream_ends_as_it_was_ended",
        "receive what was sent before the end: must succeed",
    ),
    (
        Fault::ErrorsAreCleanEnds,
        "a_stream_ends_as_it_was_ended",
        "must be `not_found`, and succeeded",
    ),
    (
        Fault::EveryErrorIsUnavailable,
        "a_stream_ends_as_it_was_ended",
        "on purpose",
    ),
    (
        Fault::ErrorsLoseTheirWords,
        "a_stream_ends_as_it_was_ended",
        "must come through",
    ),
    (
        Fault::ErrorsForgetWhetherToRepeat,
        "a_stream_ends_as_it_was_ended",
        "whether to repeat it must",
    ),
    (
        Fault::ErrorsLoseTheirOwner,
        "a_stream_ends_as_it_was_ended",
        "the owner must",
    ),
    (
        Fault::DropsAreNotTold,
        "a_dropped_stream_is_unavailable",
        "for a reader to be told",
    ),
    (
        Fault::DropsAreCleanEnds,
        "a_dropped_stream_is_unavailable",
        "must be `unavailable`, and succeeded",
    ),
    (
        Fault::GoneReadersAreNotTold,
        "a_dropped_stream_is_unavailable",
        "for a sender to be told",
    ),
    (
        Fault::NobodyIsHeldBack,
        "a_reader_holds_back_its_sender",
        "were sent to one who does not read",
    ),
    (
        Fault::OneThatDoesNotFitIsLost,
        "a_reader_holds_back_its_sender",
        "is not the one that was sent",
    ),
    (
        Fault::StreamsHoldUpCalls,
        "a_reader_holds_back_its_sender",
        "for a call",
    ),
    (
        Fault::StreamsHoldUpEachOther,
        "a_reader_holds_back_its_sender",
        "waited 60s for send",
    ),
    (
        Fault::LargeMessagesAreCut,
        "a_large_message_is_too_large",
        "must arrive whole",
    ),
    (
        Fault::LargeMessagesAreRefused,
        "a_large_message_is_too_large",
        "as much as is allowed: must succeed",
    ),
    (
        Fault::GuardsStopNothing,
        "streams_end_with_their_server",
        "for a reader to",
    ),
    (
        Fault::DropsAreCleanEnds,
        "streams_end_with_their_server",
        "side: must be `unavailable`, and succeeded",
    ),
];
