package intent

import (
	"slices"
	"testing"
)

func TestShares(t *testing.T) {
	for _, c := range []struct {
		weights []uint16
		most    int
		want    []int
	}{
		{[]uint16{0, 0, 0}, 256, []int{1, 1, 1}},
		{[]uint16{0, 3, 1}, 256, []int{1, 3, 1}},
		{[]uint16{100, 300, 200}, 256, []int{1, 3, 2}},
		{[]uint16{65535, 1}, 256, []int{254, 1}},
		{[]uint16{1000, 1001}, 256, []int{127, 128}},
		{[]uint16{7, 5, 3}, 2, []int{1, 1, 1}},
		{nil, 256, []int{}},
	} {
		list := make([]Backend, len(c.weights))
		for i, w := range c.weights {
			list[i].Weight = w
		}
		if got := Shares(list, c.most); !slices.Equal(got, c.want) {
			t.Errorf("weights %v in %d: %v; want %v", c.weights, c.most, got, c.want)
		}
	}
}
