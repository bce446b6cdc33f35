package ipvs

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kube-router/internal/row"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func front(s string, protocol uint8) row.IpvsFront {
	a := ap(s)
	return row.IpvsFront{Addr: a.Addr(), Port: a.Port(), Protocol: protocol}
}

// many are n virtual servers of e destinations each.
func many(n, e int) []row.Ipvs {
	var list []row.Ipvs
	for i := range n {
		f := row.IpvsFront{Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Protocol: 6}
		list = append(list, row.IpvsServer{Front: f, Scheduler: "rr"})
		for j := range e {
			to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, byte(i >> 8), byte(i)}), uint16(j+1))
			list = append(list, row.IpvsDest{Front: f, To: to, Weight: 1})
		}
	}
	return list
}

// stage is a driver over a fake with a clock that the test turns.
type stage struct {
	*testing.T
	*Driver
	fake *Fake
	time time.Time
}

var (
	web  = front("10.96.0.1:80", 6)
	head = row.IpvsServer{Front: web, Scheduler: "rr"}
	one  = row.IpvsDest{Front: web, To: ap("10.244.1.1:8080"), Weight: 1}
	two  = row.IpvsDest{Front: web, To: ap("10.244.1.2:8080"), Weight: 1}
)

func newStage(t *testing.T, o Options, rows ...row.Ipvs) *stage {
	s := &stage{T: t, fake: NewFake(), time: time.Unix(1000, 0)}
	s.Driver = New(s.fake, o)
	s.Driver.now = func() time.Time { return s.time }
	for _, r := range rows {
		s.must(s.change(nil, r))
	}
	return s
}

func (s *stage) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// change applies one change and returns its error.
func (s *stage) change(old, new row.Ipvs) error {
	c := change{}
	if old != nil {
		c.Key, c.Old = old.Key(), &old
	}
	if new != nil {
		c.Key, c.New = new.Key(), &new
	}
	err := s.Apply(s.Context(), []change{c})
	var f failed
	if errors.As(err, &f) {
		return f[c.Key]
	}
	return err
}

func (s *stage) later(err error) {
	s.Helper()
	if !errors.As(err, &row.Later{}) {
		s.Fatalf("want later, have %v", err)
	}
}

// weight is that of a destination, -1 if it is gone.
func (s *stage) weight(d row.IpvsDest) int {
	s.Helper()
	rows, err := s.Dump(s.Context())
	s.must(err)
	r, ok := rows[d.Key()].(row.IpvsDest)
	if !ok {
		return -1
	}
	return int(r.Weight)
}

func (s *stage) want(d row.IpvsDest, weight int) {
	s.Helper()
	if have := s.weight(d); have != weight {
		s.Fatalf("%s: weight %d, want %d (-1: gone)", d.To, have, weight)
	}
}

func TestWithoutGraceADestinationGoesAtOnce(t *testing.T) {
	s := newStage(t, Options{}, head, one, two)
	s.fake.Connect(one.Key(), 5)
	s.must(s.change(one, nil))
	s.want(one, -1)
	s.want(two, 1)
}

func TestDrainEndsWithTheConnections(t *testing.T) {
	s := newStage(t, Options{Grace: time.Minute}, head, one, two)
	s.fake.Connect(one.Key(), 5)
	s.later(s.change(one, nil))
	s.want(one, 0)
	s.later(s.change(one, nil))
	s.fake.Connect(one.Key(), 0)
	s.must(s.change(one, nil))
	s.want(one, -1)
}

func TestDrainEndsWithTheTime(t *testing.T) {
	s := newStage(t, Options{Grace: time.Minute}, head, one, two)
	own := two
	own.Weight, own.Grace = 0, 5*time.Minute
	s.must(s.change(two, own))
	for _, d := range []row.IpvsDest{one, two} {
		s.fake.Connect(d.Key(), 5)
	}
	s.later(s.change(one, nil))
	s.later(s.change(own, nil))
	s.time = s.time.Add(time.Minute)
	s.must(s.change(one, nil))
	s.later(s.change(own, nil))
	s.want(one, -1)
	s.want(own, 0)
	s.time = s.time.Add(4 * time.Minute)
	s.must(s.change(own, nil))
	s.want(own, -1)
}

func TestADrainingDestinationThatIsWantedAgainStays(t *testing.T) {
	s := newStage(t, Options{Grace: time.Minute}, head, one)
	s.fake.Connect(one.Key(), 5)
	s.later(s.change(one, nil))
	s.time = s.time.Add(50 * time.Second)
	s.must(s.change(one, one))
	s.want(one, 1)
	// Its next removal has all of its time again.
	s.later(s.change(one, nil))
	s.time = s.time.Add(50 * time.Second)
	s.later(s.change(one, nil))
	s.want(one, 0)
}

func TestAVirtualServerStaysWhileItsDestinationsDrain(t *testing.T) {
	s := newStage(t, Options{Grace: Forever}, head, one)
	s.fake.Connect(one.Key(), 1)
	var h, d row.Ipvs = head, one
	both := []change{{Key: h.Key(), Old: &h}, {Key: d.Key(), Old: &d}}
	var f failed
	if err := s.Apply(t.Context(), both); !errors.As(err, &f) || len(f) != 2 {
		t.Fatalf("want both later, have %v", err)
	}
	s.time = s.time.Add(1000 * time.Hour)
	s.later(s.change(one, nil))
	s.fake.Connect(one.Key(), 0)
	s.must(s.Apply(t.Context(), both))
	if rows, _ := s.Dump(t.Context()); len(rows) != 0 {
		t.Errorf("left: %v", rows)
	}
}

func TestTheGraceOfARowComesBack(t *testing.T) {
	own := one
	own.Weight, own.Grace = 0, time.Hour
	s := newStage(t, Options{Grace: time.Minute}, head, own)
	if rows, err := s.Dump(t.Context()); err != nil || rows[own.Key()] != row.Ipvs(own) {
		t.Errorf("want %#v, have %#v, %v", own, rows[own.Key()], err)
	}
}

func TestExcludedRangesAreLeftAlone(t *testing.T) {
	s := newStage(t, Options{Excluded: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/24")}})
	s.fake.Foreign(row.IpvsServer{Front: web, Scheduler: "lc"})
	s.fake.Bind(web.Addr)
	if rows, err := s.Dump(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("the dump has %v, %v", rows, err)
	}
	for _, r := range []row.Ipvs{head, one} {
		if err := s.change(nil, r); err == nil {
			t.Errorf("%s was accepted", r)
		}
	}
	s.must(s.change(head, nil))
	if list, _ := s.fake.Servers(); len(list) != 1 || list[0].Scheduler != "lc" {
		t.Errorf("it is %v now", list)
	}
	// Elsewhere, and with our mark, all goes as ever.
	s.must(s.change(nil, row.IpvsServer{Front: front("10.96.0.2:80", 6), Scheduler: "rr"}))
	if rows, _ := s.Dump(t.Context()); len(rows) != 1 {
		t.Errorf("the dump has %v", rows)
	}
}

func TestTimeoutsThatWereNotSetAreNotOurs(t *testing.T) {
	s := newStage(t, Options{})
	if rows, _ := s.Dump(t.Context()); len(rows) != 0 {
		t.Errorf("the dump has %v", rows)
	}
	want := row.IpvsTimeouts{TCP: time.Hour}
	s.must(s.change(nil, want))
	if rows, _ := s.Dump(t.Context()); rows[want.Key()] != row.Ipvs(want) {
		t.Errorf("the dump has %v", rows)
	}
	s.must(s.fake.SetTimeouts(row.IpvsTimeouts{TCP: time.Minute, UDP: time.Minute}))
	if rows, _ := s.Dump(t.Context()); rows[want.Key()] != row.Ipvs(row.IpvsTimeouts{TCP: time.Minute}) {
		t.Errorf("drift does not show: %v", rows)
	}
}

func TestABrokenTableIsOneError(t *testing.T) {
	s := newStage(t, Options{})
	s.fake.Break(errors.New("broken"))
	if err := s.change(nil, head); err == nil || errors.As(err, &failed{}) {
		t.Errorf("have %v", err)
	}
}

// TestASchedulerThatTheKernelLacks: the virtual server serves all the same, whoever plans hears of it, and hears again
// when a look finds the scheduler there.
func TestASchedulerThatTheKernelLacks(t *testing.T) {
	s := newStage(t, Options{}, head)
	var heard [][]string
	s.OnLack(func(list []string) { heard = append(heard, list) })
	s.fake.Without("mh", "ovf")
	hashed := head
	hashed.Scheduler = "mh"
	new := row.IpvsServer{Front: front("10.96.0.2:80", 6), Scheduler: "mh"}
	dest := row.IpvsDest{Front: new.Front, To: ap("10.244.1.1:8080"), Weight: 1}
	for _, c := range [][2]row.Ipvs{{head, hashed}, {nil, new}, {nil, row.IpvsServer{Front: front("10.96.0.3:80", 6), Scheduler: "ovf"}}} {
		if err := s.change(c[0], c[1]); !errors.As(err, &row.Later{}) {
			t.Errorf("%s: %v; want that it waits for the next plan", c[1], err)
		}
	}
	s.must(s.change(nil, dest))
	have, err := s.Dump(t.Context())
	s.must(err)
	for _, f := range []string{"10.96.0.1:80", "10.96.0.2:80", "10.96.0.3:80"} {
		if r, ok := have[row.IpvsKey{Front: front(f, 6)}].(row.IpvsServer); !ok || r.Scheduler != "rr" {
			t.Errorf("%s: %v; want it with rr", f, r)
		}
	}
	s.fake.Without("ovf")
	_, err = s.Dump(t.Context())
	s.must(err)
	if d := cmp.Diff([][]string{{"mh"}, {"mh", "ovf"}, {"ovf"}}, heard); d != "" {
		t.Errorf("heard - want +:\n%s", d)
	}
	s.must(s.change(head, hashed))
}
