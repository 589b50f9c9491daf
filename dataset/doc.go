// Package dataset turns files of records into the training, validation and test samples of a run, and reads them back.
//
// Split reads the files once, block by block (dataset/source). Workers turn rows into records (dataset/record), apply the
// policy (so8t/policy), render each record with the model's chat template and tokenise it; one sequencer appends what they
// make in the order of the input, so that the number of threads changes no byte. Memory does not grow with the input.
// A last pass finds near duplicates between the parts (dataset/neardup) and writes an Arrow file for each part.
// Open maps such a file and returns samples without copying.
//
// A split is prepared in a hidden folder beside its own. Every 32 MB of records the work is made durable there, with the
// place in the input, so that a killed split goes on from it; the finished split appears by one rename.
//
// A record's part depends on its prompt and the seed alone, see parter.
//
// Caveats:
//   - No record is dropped silently. Bad records, those that the policy removed, and samples longer than MaxSeqLength
//     are counted by reason in policy_report.json. Long samples are dropped whole, since a truncated answer would be
//     learnt as one.
//   - A record whose texts contain a token with which the chat template marks turns (<|end|> …) is bad
//     (control_token): it would end its own turn.
//   - The views in a Sample are valid until Samples.Close.
package dataset
