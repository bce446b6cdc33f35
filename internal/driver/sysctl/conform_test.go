package sysctl

import (
	"fmt"
	"path/filepath"
	"testing"

	"kube-router/internal/row"
	"kube-router/internal/row/conform"
)

func TestConformance(t *testing.T) {
	var folder string
	conform.Target(t, conform.Config[string, row.Sysctl]{
		World: func(t testing.TB) {
			folder = t.TempDir()
			settings := map[string]string{}
			for i := range 500 {
				settings[fmt.Sprintf("net/test/%d", i)] = "0"
			}
			if _, err := NewFake(folder, settings); err != nil {
				t.Fatal(err)
			}
		},
		Open: func(t testing.TB) row.Target[string, row.Sysctl] {
			d, err := NewFake(folder, nil)
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Rows: func(n int) []row.Sysctl {
			var rows []row.Sysctl
			for i := range n {
				rows = append(rows, row.Sysctl{Name: fmt.Sprintf("net/test/%d", i), Value: "1"})
			}
			return rows
		},
		Change: func(r row.Sysctl) (row.Sysctl, bool) {
			r.Value = "2"
			return r, true
		},
		Bad: func() []row.Sysctl {
			return []row.Sysctl{{Name: "net/test/none", Value: "1"}, {Name: filepath.Join("..", "outside"), Value: "1"}}
		},
		Many: 500,
	})
}
