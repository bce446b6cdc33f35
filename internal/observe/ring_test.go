package observe

import (
	"net/netip"
	"testing"
	"time"

	"kube-router/internal/flow"
)

func TestRingKeepsTheLatest(t *testing.T) {
	r := NewRing(4)
	base := time.Unix(1000, 0)
	for i := range 10 {
		r.Add(flow.Flow{Time: base.Add(time.Duration(i) * time.Second), ID: uint32(i + 1)})
	}
	any := func(*flow.Flow) bool { return true }
	list, next, _ := r.Read(0, time.Time{}, 99, any)
	if len(list) != 4 || next != 10 || list[0].ID != 7 || list[3].ID != 10 {
		t.Fatalf("%d, next %d: %+v", len(list), next, list)
	}
	if list, _, _ = r.Read(3, time.Time{}, 99, any); len(list) != 5 || list[0].Lost != 3 || list[0].Loss != flow.RingLoss || list[1].ID != 7 {
		t.Errorf("a reader at 3 that missed 4, 5 and 6: %+v", list)
	}
	if list, _, _ = r.Read(10, time.Time{}, 99, any); len(list) != 0 {
		t.Errorf("nothing is new: %+v", list)
	}
	if list, _, _ = r.Read(0, base.Add(8*time.Second), 99, any); len(list) != 2 {
		t.Errorf("since a time: %+v", list)
	}
	if list, next, more := r.Read(0, time.Time{}, 2, any); len(list) != 2 || next != 8 || !more {
		t.Errorf("a page of two: %+v, %d, %t", list, next, more)
	}
	if marks := r.last(1, time.Time{}, func(f *flow.Flow) bool { return f.ID < 9 }); len(marks) != 1 || marks[0].number != 8 {
		t.Errorf("the latest below 9: %+v", marks)
	}
}

// TestAnswersComeInPages: however long it is, everything is told once and in order, from both rings.
func TestAnswersComeInPages(t *testing.T) {
	r := NewRecorder(Options{Node: "n1", Flows: 10_000, Drops: 10_000})
	base := time.Unix(1000, 0)
	for i := range 5000 {
		f := flow.Flow{Time: base.Add(time.Duration(i) * time.Second), Source: nobody, Dest: nobody}
		if i%7 == 0 || i < 2000 && i%2 == 0 {
			f.Reason = flow.NoPort
			r.drops.Add(f)
		} else {
			r.flows.Add(f)
		}
	}
	for _, c := range []struct {
		args  []string
		total int
	}{{nil, 5000}, {[]string{"last=3500"}, 3500}, {[]string{"verdict=DROPPED"}, 1572}, {[]string{"since=1970-01-01T01:30:00Z"}, 600}} {
		q, err := flow.NewQuestion(c.args, base)
		if err != nil {
			t.Fatal(err)
		}
		var all []flow.Record
		for {
			a, err := r.Answer(q)
			if err != nil {
				t.Fatal(err)
			}
			if all = append(all, a.Records...); !a.More {
				break
			}
			q.From = a.Next
		}
		for i := 1; i < len(all); i++ {
			if !all[i].Time.After(all[i-1].Time) {
				t.Fatalf("%v: %s comes after %s", c.args, all[i].Time, all[i-1].Time)
			}
		}
		if len(all) != c.total {
			t.Errorf("%v: %d told, want %d", c.args, len(all), c.total)
		}
	}
}

func TestRingEndsFlows(t *testing.T) {
	r := NewRing(2)
	at := netip.MustParseAddrPort("10.0.0.1:1")
	r.Add(flow.Flow{ID: 7, Src: at})
	if r.End(&flow.Flow{ID: 7, Src: at, Ended: time.Unix(5, 0), Out: flow.Count{Packets: 3}}) == nil {
		t.Error("its beginning is there")
	}
	if r.End(&flow.Flow{ID: 7, Src: at}) != nil {
		t.Error("it has ended already")
	}
	if list, _, _ := r.Read(0, time.Time{}, 99, func(*flow.Flow) bool { return true }); len(list) != 1 || list[0].Out.Packets != 3 || list[0].Ended.Unix() != 5 {
		t.Errorf("%+v", list)
	}
	r.Add(flow.Flow{ID: 8, Src: at}, flow.Flow{ID: 9}, flow.Flow{ID: 10})
	if r.End(&flow.Flow{ID: 8, Src: at}) != nil || len(r.open) != 2 {
		t.Errorf("what was overwritten is forgotten: %v", r.open)
	}
	if r.End(&flow.Flow{ID: 9, Src: at}) != nil {
		t.Error("another flow has the identifier")
	}
}

func TestLossesAreOneRecordASecond(t *testing.T) {
	r, base := NewRing(8), time.Unix(1000, 0)
	for i := range 30 {
		r.Lose(flow.KernelLoss, 2, base.Add(time.Duration(i)*100*time.Millisecond))
	}
	r.Lose(flow.QueueLoss, 1, base)
	list, _, _ := r.Read(0, time.Time{}, 99, func(*flow.Flow) bool { return true })
	sum := uint64(0)
	for _, f := range list {
		sum += f.Lost
	}
	if len(list) != 4 || sum != 61 {
		t.Errorf("%d records of %d events", len(list), sum)
	}
}
