// Package dataset turns a JSONL file of four-class records into the training, validation and
// test samples of a run, and reads them back.
//
// Split streams the file once: a line is parsed strictly, given to the policy, rendered with the model's
// chat template, tokenised, and appended to the Arrow file of its part. Memory does not grow with the file.
// Open maps such an Arrow file and hands out samples without copying.
//
// What a record's part is depends on its prompt and the seed and on nothing else, see part.
//
// Caveats:
//   - A line is never dropped in silence. Bad lines are counted by reason in policy_report.json; samples longer than
//     MaxSeqLength are dropped whole, because half an answer would be taught as an answer, and counted as too_long.
//   - Record texts must not contain the tokens that the chat template marks turns with (<|end|> …): such
//     a line is bad (control_token), since it would end its own turn.
//   - The views in a Sample are valid until Samples.Close.
package dataset
