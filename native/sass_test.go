package native

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
)

// A hotLoop is the innermost loop of a kernel that holds most instructions of a kind; the kernel as a whole where no loop holds
// one. What is counted are the instructions of the way through it with most of that kind and most asynchronous copies,
// and of such ways the shortest: in attention, a tile that no mask concerns.
type hotLoop struct {
	file, kernel string // kernel: a pattern of its mangled name
	around       string
	most         map[string]int // instructions, by opcode ("LDG") or opcode and modifier ("LDG.128"; "STG.32"); "all"
}

// hotLoops of sm_90a. "all" leaves some room, since a compiler may differ. Attention's branches are the loop's own: whether
// rows are loaded, how, and whether the warp has a part in them and needs a mask; a branch for each element would add to both.
var hotLoops = []hotLoop{
	{"attention_forward", `forward_tilesILi96E`, "HMMA", map[string]int{"all": 800, "LDSM": 48, "LDGSTS": 12, "BSSY": 2, "BRA": 20}},
	{"attention_forward", `forward_tilesILi128E`, "HMMA", map[string]int{"all": 800, "LDSM": 64, "LDGSTS": 12, "BSSY": 2, "BRA": 20}},
	{"attention_backward", `key_tilesILi96E`, "HMMA", map[string]int{"all": 440, "LDSM": 48, "LDGSTS": 7, "BSSY": 1, "BRA": 10}},
	{"attention_backward", `key_tilesILi128E`, "HMMA", map[string]int{"all": 550, "LDSM": 80, "LDGSTS": 9, "BSSY": 1, "BRA": 10}},
	{"attention_backward", `query_tilesILi96E`, "HMMA", map[string]int{"all": 530, "LDSM": 48, "LDGSTS": 6, "BSSY": 0, "BRA": 9}},
	{"attention_backward", `query_tilesILi128E`, "HMMA", map[string]int{"all": 640, "LDSM": 80, "LDGSTS": 8, "BSSY": 0, "BRA": 9}},
	{"few_rows", `dotIaN.*4bf16ES3_Li1ELi16ELi1ELi4E`, "FFMA", map[string]int{"I2F": 0}},
	{"few_rows", `dotIaN.*4bf16ES3_Li1ELi16ELi2ELi2E`, "FFMA", map[string]int{"I2F": 0}},
	{"few_rows_mma", `tiledIaLi16E`, "HMMA", map[string]int{"I2F": 0}},
	{"few_rows_mma", `tiledIaLi64E`, "HMMA", map[string]int{"I2F": 0}},
	{"few_rows_mma", `tiledIaLi128E`, "HMMA", map[string]int{"I2F": 0}},
	{"lora_dx", `product_masked`, "HMMA", map[string]int{"all": 110, "LDSM": 12, "BSSY": 0}},
	{"lora_dx", `product_masked`, "STG", map[string]int{"STG.32": 0, "STG.64": 0}},
	{"lora_masked", `4downILi64E`, "HMMA", map[string]int{"all": 270, "LDSM": 12, "BSSY": 0}},
	{"lora_masked", `4downILi192E`, "HMMA", map[string]int{"all": 380, "LDSM": 20, "BSSY": 0}},
	{"lora_masked", `gradientILi64E`, "HMMA", map[string]int{"all": 270, "LDSM": 12, "BSSY": 0}},
	{"lora_masked", `gradientILi192E`, "HMMA", map[string]int{"all": 335, "LDSM": 20, "BSSY": 0}},
	{"weight", `expandIaNS_4bf16ELi8E`, "STG", map[string]int{"STG.32": 0, "STG.U16": 0}},
}

// sassColumns are what the table shows.
var sassColumns = strings.Fields("all HMMA LDSM LDGSTS MUFU FFMA FMUL FADD FMNMX F2FP I2F SHFL PRMT " +
	"LDG LDG.128 STG STG.128 LDS STS BAR BSSY BSYNC BRA")

// TestHotLoops reads the machine code of the built objects. With -v it prints what each loop takes.
func TestHotLoops(t *testing.T) {
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "kernel\t%s\t\n", strings.Join(sassColumns, "\t"))
	kernels := map[string]map[string][]instruction{} // by file
	for _, row := range hotLoops {
		if kernels[row.file] == nil {
			kernels[row.file] = machineCode(t, row.file, "sm_90a")
		}
		found := 0
		for name, code := range kernels[row.file] {
			if !regexp.MustCompile(row.kernel).MatchString(name) {
				continue
			}
			found++
			counts := hotPath(code, row.around)
			fmt.Fprintf(w, "%s\t", row.kernel)
			for _, kind := range sassColumns {
				fmt.Fprintf(w, "%d\t", counts[kind])
			}
			fmt.Fprintln(w)
			if counts[row.around] == 0 {
				t.Errorf("%s has no %s", row.kernel, row.around)
			}
			for kind, most := range row.most {
				if counts[kind] > most {
					t.Errorf("%s issues %d × %s, more than %d", row.kernel, counts[kind], kind, most)
				}
			}
		}
		if found != 1 {
			t.Errorf("%d kernels of %s match %s", found, row.file, row.kernel)
		}
	}
	w.Flush()
	t.Logf("a warp's instructions a turn of the loop, sm_90a:\n%s", table.String())
}

// machineCode returns the code of a built object's kernels for one card.
func machineCode(t *testing.T, file, card string) map[string][]instruction {
	t.Helper()
	cuobjdump, env := cuobjdumpCommand()
	if cuobjdump == "" {
		missing(t)("cuobjdump is missing: make native-cuda")
	}
	dir := os.Getenv("SO8T_NATIVE_DIR")
	if dir == "" {
		dir = "build"
	}
	object := filepath.Join(dir, "cuda", file+".o")
	if _, err := os.Stat(object); err != nil {
		missing(t)("%v: make native-cuda", err)
	}
	c := exec.Command(cuobjdump, "-sass", "-arch", card, object)
	c.Env = env
	text, err := c.Output()
	if err != nil {
		t.Fatalf("cuobjdump %s: %v", object, err)
	}
	return parseSASS(text)
}

// cuobjdumpCommand looks where the Makefile looks for nvcc. cuobjdump itself finds nvdisasm through PATH.
func cuobjdumpCommand() (path string, env []string) {
	wheels, _ := filepath.Abs("../.cuda/site/nvidia/cu13")
	if path, err := exec.LookPath("cuobjdump"); err == nil {
		return path, os.Environ()
	}
	for _, home := range []string{os.Getenv("CUDA_HOME"), wheels} {
		path := filepath.Join(home, "bin", "cuobjdump")
		if _, err := os.Stat(path); home != "" && err == nil {
			return path, append(os.Environ(), "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
		}
	}
	return "", nil
}

type instruction struct {
	kinds []string // opcode, and opcode with each modifier
	next  []int    // instructions that may follow
}

var (
	sassFunction = regexp.MustCompile(`(?m)^\s*Function : (\S+)`)
	sassLine     = regexp.MustCompile(`(?m)^\s+/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z][\w.]*)([^;]*);`)
	sassTarget   = regexp.MustCompile(`0x[0-9a-f]+\s*$`)
	sassChoice   = regexp.MustCompile(`\bU?P\d`)
)

// parseSASS returns a listing's kernels by their mangled names.
func parseSASS(text []byte) map[string][]instruction {
	kernels := map[string][]instruction{}
	starts := sassFunction.FindAllSubmatchIndex(text, -1)
	for i, s := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		lines := sassLine.FindAllSubmatch(text[s[1]:end], -1)
		at := map[int64]int{} // instruction by address
		for n, line := range lines {
			address, _ := strconv.ParseInt(string(line[1]), 16, 64)
			at[address] = n
		}
		code := make([]instruction, len(lines))
		for n, line := range lines {
			guarded, operation, operands := len(line[2]) > 0, string(line[3]), string(line[4])
			opcode, modifiers, _ := strings.Cut(operation, ".")
			code[n].kinds = kindsOf(opcode, modifiers)
			goesOn := true
			switch opcode {
			case "BRA":
				goesOn = guarded || sassChoice.MatchString(operands) || modifiers != ""
				target, _ := strconv.ParseInt(strings.TrimSpace(sassTarget.FindString(operands)), 0, 64)
				if to, ok := at[target]; ok {
					code[n].next = append(code[n].next, to)
				}
			case "EXIT", "RET":
				goesOn = guarded
			}
			if goesOn && n+1 < len(code) {
				code[n].next = append(code[n].next, n+1)
			}
		}
		kernels[string(text[s[2]:s[3]])] = code
	}
	return kernels
}

func kindsOf(opcode, modifiers string) []string {
	kinds := []string{opcode}
	sized := false
	for m := range strings.SplitSeq(modifiers, ".") {
		if m != "" {
			kinds = append(kinds, opcode+"."+m)
		}
		sized = sized || strings.Trim(m, "US0123456789") == "" && m != ""
	}
	if !sized && regexp.MustCompile(`^(LD|ST)[GSL]$`).MatchString(opcode) {
		kinds = append(kinds, opcode+".32")
	}
	return kinds
}

// A loop of two tiles' ways, one through a mask, with a loop that copies in another way: the way without mask and with the
// wide copies counts.
func TestHotPath(t *testing.T) {
	const listing = `
		Function : _Z1kv
        /*0000*/                   MOV R1, R2 ;                 /* 0x0 */
                                                                /* 0x0 */
        /*0010*/              @!P1 BRA 0x40 ;                   /* 0x0 */
        /*0020*/                   LDGSTS.E.BYPASS.128 [R1], [R2] ;
        /*0030*/                   BRA 0x60 ;
        /*0040*/                   STS [R1], R2 ;
        /*0050*/               @P0 BRA 0x40 ;
        /*0060*/                   HMMA.16816.F32.BF16 R1, R2, R3, R4 ;
        /*0070*/              @!P2 BRA P3, 0x90 ;
        /*0080*/                   FSEL R1, R2, R3, P0 ;
        /*0090*/                   MUFU.EX2 R1, R1 ;
        /*00a0*/                   LDG.E.128 R4, [R2] ;
        /*00b0*/                   LDG.E R4, [R2] ;
        /*00c0*/               @P0 BRA 0x10 ;
        /*00d0*/                   EXIT ;
        /*00e0*/                   BRA 0xe0;
		Function : _Z7no_loopv
        /*0000*/               @P0 EXIT ;
        /*0010*/                   STG.E [R2], R4 ;
        /*0020*/                   EXIT ;
`
	kernels := parseSASS([]byte(listing))
	got := hotPath(kernels["_Z1kv"], "HMMA")
	for kind, want := range map[string]int{"all": 9, "HMMA": 1, "BRA": 4, "LDGSTS.128": 1, "STS": 0, "FSEL": 0, "MUFU.EX2": 1,
		"LDG": 2, "LDG.128": 1, "LDG.32": 1} {
		if got[kind] != want {
			t.Errorf("%d × %s, want %d", got[kind], kind, want)
		}
	}
	if got := hotPath(kernels["_Z1kv"], "FSEL"); got["FSEL"] != 1 || got["all"] != 10 {
		t.Errorf("the way through the mask: %v", got)
	}
	if got := hotPath(kernels["_Z7no_loopv"], "STG")["all"]; got != 3 {
		t.Errorf("without a loop %d instructions", got)
	}
}
