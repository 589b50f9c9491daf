package engine

import (
	"fmt"
	"slices"
	"testing"

	"so8t/device"
	"so8t/engine/phi3"
	"os"
)

func TestCompanyX(t *testing.T) {
	for _, name := range []string{"gqa", "plain", "demo"} {
	for _, f32 := range []bool{false, true} {
		for _, int8 := range []bool{true, false} {
			dir := "/tmp/w/demo_model"
			if name == "gqa" { dir = variant(t, "gqa").dir } else if name == "plain" { continue }
			m, err := Open(ctx, Options{BasePath: dir, Float32: f32, Int8: int8, MaxTokens: 512, MaxLength: 100, Device: device.MustParse(os.Getenv("SO8T_DEVICE"))})
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range []string{"fill20", "fill3", "extend", "chunk"} {
				var base []float32
				out := ""
				for n := 1; n <= 16; n++ {
					var got []float32
					err := m.run(ctx, func() error {
						c, err := m.phi.NewCache(16, 100, 32)
						if err != nil {
							return err
						}
						defer m.phi.FreeCache(c)
						length := 20
						if mode == "fill3" { length = 3 }
						prompt := func(i int) []int32 {
							p := make([]int32, length)
							for j := range p {
								p[j] = int32((i*31 + j*7 + 5) % 400)
							}
							return p
						}
						if mode == "extend" || mode == "chunk" {
							for i := range n {
								if err := m.phi.Fill(c, []phi3.Piece{{Slot: i, IDs: prompt(i)}}, true); err != nil {
									return err
								}
							}
							var pieces []phi3.Piece
							for i := range n {
								p := phi3.Piece{Slot: i, IDs: []int32{int32(9+i)}}
								if mode == "chunk" && i == 0 { p.IDs = prompt(5) }
								pieces = append(pieces, p)
							}
							if err := m.phi.Extend(c, pieces, true); err != nil {
								return err
							}
						} else {
							var pieces []phi3.Piece
							for i := range n {
								pieces = append(pieces, phi3.Piece{Slot: i, IDs: prompt(i)})
							}
							if err := m.phi.Fill(c, pieces, true); err != nil {
								return err
							}
						}
						l, err := m.phi.PickedLogits()
						if err == nil { got = l[0] }
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
					if base == nil { base = got; out += "A"; continue }
					if slices.Equal(base, got) { out += "A" } else { out += "b" }
					if n == 9 { }
				}
				fmt.Println(name, "f32", f32, "int8", int8, mode, out)
			}
			m.Close()
		}
	}}
}
