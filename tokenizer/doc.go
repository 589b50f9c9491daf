// Package tokenizer turns text into the token ids of a Phi-3-class model and back,
// exactly as Hugging Face's tokenizers library does for the same tokenizer.json.
//
// A text is cut at its added tokens (<|user|>, <|end|> …); each segment between them is
// normalised on its own ("▁" in front, spaces to "▁") and split by byte-pair merges, with
// characters outside the vocabulary spelled as byte tokens (<0xE3>).
//
// Caveats:
//   - Encode never adds a bos or eos token, as with add_special_tokens=False.
//     post_processor, truncation and padding of tokenizer.json are therefore not used.
//   - Everything else in tokenizer.json that would change a result and is not implemented here is
//     refused by Load, with the key's name.
//   - Text is expected to be UTF-8; each run of invalid bytes counts as one U+FFFD.
//   - A Tokenizer is safe for concurrent use; a Stream belongs to one goroutine.
package tokenizer
