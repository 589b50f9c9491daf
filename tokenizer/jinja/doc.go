// Package jinja renders chat templates exactly as transformers does: Jinja2 3.1 in its ImmutableSandboxedEnvironment, with
// trim_blocks, lstrip_blocks, loop controls, {% generation %} blocks, and transformers' own tojson, namespace,
// raise_exception and strftime_now.
//
// Templates are strangers' text. A rendering is bounded in operations, memory, depth and output, reads no file and no
// clock but the given one, and is the same every time.
//
// Caveats: what Jinja2 has and this package does not is an error that names it, never another text:
//   - block, extends, include, import and from (a chat template has no other template to load), autoescape true, i18n;
//   - integers beyond 64 bits, complex numbers, lone surrogates and \N{…} in strings, several slices in one subscript;
//   - the filters pprint, random, urlize, wordwrap and xmlattr, and lipsum;
//   - str.encode, format_map, isprintable, maketrans and translate, dict.fromkeys, int.to_bytes and its kind;
//   - formatting (%, format) of what escape or safe returned, %a, # with a float;
//   - printing a generator, a function or a cycler, where Python writes an address.
package jinja
