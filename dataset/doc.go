// Package dataset turns a JSONL file of four-class records into the training, validation and
// test samples of a run, and reads them back.
//
// Split streams the file once: each line is parsed strictly, passed through the policy, rendered with the model's
// chat template, tokenised, and appended to the Arrow file of its part. Memory does not grow with the file.
// Open maps such an Arrow file and returns samples without copying.
//
// A record's part depends on its prompt and the seed alone, see parter.
//
// Caveats:
//   - No line is dropped silently. Bad lines are counted by reason in policy_report.json; samples longer than
//     MaxSeqLength are dropped whole, since a truncated answer would be learnt as one, and counted as too_long.
//   - A record whose texts contain a token with which the chat template marks turns (<|end|> …) is a bad line
//     (control_token): it would end its own turn.
//   - The views in a Sample are valid until Samples.Close.
package dataset
