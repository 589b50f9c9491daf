package house

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write THIRD_PARTY_NOTICES anew: make notices")

const noticesFile = "THIRD_PARTY_NOTICES"

// licences are those that may be linked, each with a sentence that only its text has. A file's licence is the one whose
// sentence comes first: some files append the licences of what their project has copied.
var licences = []struct {
	name     string // SPDX
	sentence *regexp.Regexp
}{
	{"Apache-2.0", words("Apache License,? Version 2.0, January 2004")},
	{"BSD-3-Clause", words("Redistribution and use in source and binary forms, with or without modification, are permitted" +
		"(?s:.{0,900}?)(Neither the|The names? of the)")},
	{"BSD-2-Clause", words("Redistribution and use in source and binary forms, with or without modification, are permitted")},
	{"MIT", words("Permission is hereby granted, free of charge, to any person obtaining a copy")},
	{"ISC", words("Permission to use, copy, modify, and(/or)? distribute this software for any purpose with or without fee")},
	{"MPL-2.0", words("Mozilla Public License Version 2.0")},
	{"CC-BY-4.0", words("Creative Commons Attribution 4.0")},
	{"OFL-1.1", words("SIL OPEN FONT LICENSE Version 1.1")},
	{"FTL", words("The FreeType (Project )?LICENSE")}, // of the two that freetype offers, not the GPL
}

// words matches a sentence wherever its lines are broken.
func words(sentence string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)` + strings.ReplaceAll(sentence, " ", `\s+`))
}

// withoutText names modules that publish no licence text, with what is known of their terms.
var withoutText = map[string]string{
	"github.com/nexus-rpc/nexus-proto-annotations v0.1.0": "The module has no licence file. It holds the protobuf options that Temporal's API module\n" +
		"(MIT) is generated with, and is published by the authors of github.com/nexus-rpc/sdk-go (MIT).",
}

// linked says what is linked or loaded beside Go modules.
const linked = `What is not a Go module
=======================

Not part of this repository; found on the machine that builds or runs it.

oneDNN (libdnnl), Apache-2.0                          libso8t_cpu.so links it dynamically
libstdc++, libgcc, libgomp, GPL-3.0 with the          both libraries link them dynamically
  GCC Runtime Library Exception 3.1
CUDA runtime (libcudart_static), CUDA Toolkit EULA,   whoever builds libso8t_cuda.so links it in
  whose Attachment A allows its distribution
cuBLASLt, CUDA Toolkit EULA                           libso8t_cuda.so loads it at run time; never shipped
NVML (libnvidia-ml), part of NVIDIA's driver          the worker loads it at run time; never shipped

bin/temporal, bin/temporal-server and bin/temporal-sql-tool are programs of their own (Temporal, MIT), built from the Go
module proxy. The container image adds packages of Debian, whose licences lie in its /usr/share/doc.

`

var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|unlicense)`)

// TestNotices holds THIRD_PARTY_NOTICES to the modules that the worker links, and each of their licences to the list
// above. With -update it writes the file.
func TestNotices(t *testing.T) {
	want := notices(t)
	if *update {
		if err := os.WriteFile(noticesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(noticesFile)
	if err != nil {
		t.Fatalf("%v: make notices", err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the worker's modules ask for: make notices", noticesFile)
	}
}

// notice is a text, and who asks for it.
type notice struct {
	text, licence string
	of            []string
}

func notices(t *testing.T) string {
	var found []*notice
	byText := map[string]*notice{}
	texts := licenceTexts(t)
	var unlicensed strings.Builder
	for _, of := range sortedKeys(texts) {
		if len(texts[of]) == 0 {
			if withoutText[of] == "" {
				t.Errorf("%s has no licence file", of)
			}
			fmt.Fprintf(&unlicensed, "%s\n%s\n\n", of, withoutText[of])
		}
		for _, file := range sortedKeys(texts[of]) {
			text := texts[of][file]
			n := byText[text]
			if n == nil {
				n = &notice{text: text, licence: licenceOf(text)}
				byText[text], found = n, append(found, n)
			}
			if n.licence == "" && !strings.HasPrefix(strings.ToLower(filepath.Base(file)), "notice") {
				t.Errorf("%s: the licence in %s is not one of those that may be linked", of, file)
			}
			n.of = append(n.of, of+", "+file)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Third-party notices of so8t\n===========================\n\n"+
		"The worker links the Go modules below and Go's own library. Made by `make notices`.\n\n%s", linked)
	fmt.Fprintf(&b, "Go modules without a licence file\n=================================\n\n%s", unlicensed.String())
	for _, n := range found {
		of := strings.Join(n.of, "\n")
		fmt.Fprintf(&b, "%s\n%s\n%s\n\n%s\n\n", strings.Repeat("=", 80), strings.TrimSpace(of+"\n"+n.licence), strings.Repeat("-", 80), n.text)
	}
	return b.String()
}

// licenceTexts reads, for each module that the worker links, the licence files of its root and of the packages linked:
// "module version" → file → text.
func licenceTexts(t *testing.T) map[string]map[string]string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", "./worker")
	list.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0") // else the list would depend on the machine
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]map[string]string{"Go's standard library": {}}
	addTexts(t, texts["Go's standard library"], strings.TrimSpace(goEnv(t, "GOROOT")), ".")
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Split(line, "\t")
		of, root, dir := fields[0], fields[1], fields[2]
		if texts[of] == nil {
			texts[of] = map[string]string{}
			addTexts(t, texts[of], root, ".")
			addTexts(t, texts[of], root, "licenses") // freetype's
		}
		for at, _ := filepath.Rel(root, dir); at != "."; at = filepath.Dir(at) {
			addTexts(t, texts[of], root, at)
		}
	}
	return texts
}

func addTexts(t *testing.T, texts map[string]string, root, at string) {
	t.Helper()
	entries, _ := os.ReadDir(filepath.Join(root, at))
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) && filepath.Join(at, e.Name()) != "licenses/ftl.txt" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, at, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.ReplaceAll(string(text), "\f", ""), "\n")
		for i, line := range lines {
			lines[i] = strings.TrimRight(line, " \t\r")
		}
		texts[filepath.Join(at, e.Name())] = strings.Trim(strings.Join(lines, "\n"), "\n")
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func licenceOf(text string) (name string) {
	first := len(text)
	for _, l := range licences {
		if at := l.sentence.FindStringIndex(text); at != nil && at[0] < first {
			first, name = at[0], l.name
		}
	}
	return name
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func TestLicencesAreTold(t *testing.T) {
	const forms = "Redistribution and use in source and binary\nforms, with or without modification, are permitted provided that"
	for text, want := range map[string]string{
		"MIT License\n\nPermission is hereby granted, free of charge, to any\nperson obtaining a copy of": "MIT",
		forms: "BSD-2-Clause",
		forms + " …\n* Neither the name of Google Inc. nor":       "BSD-3-Clause",
		"GNU GENERAL PUBLIC LICENSE\nVersion 2, June 1991":        "",
		"Apache License\n  Version 2.0, January 2004 …\n" + forms: "Apache-2.0",
	} {
		if got := licenceOf(text); got != want {
			t.Errorf("%q is taken for %q, want %q", text, got, want)
		}
	}
}
