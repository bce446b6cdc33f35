package flow

import "strconv"

// Choice is what a command was told: the values of each filter's flag, and how much of what matches is wanted.
type Choice struct {
	Values map[string]*[]string // by the filters' names
	Last   int
	Since  string
	All    bool
	Follow bool
	Part   bool // what may be a part of a flow that matches, for who has the other parts
}

// Flags are what a command's flags are made with; pflag's are so.
type Flags interface {
	StringArrayP(name, shorthand string, value []string, usage string) *[]string
	IntVar(p *int, name string, value int, usage string)
	StringVar(p *string, name string, value, usage string)
	BoolVar(p *bool, name string, value bool, usage string)
	BoolVarP(p *bool, name, shorthand string, value bool, usage string)
}

// few is how many flows are shown where nobody says how many.
const few = 20

// NewChoice makes a choice that flags fill in.
func NewChoice(set Flags) *Choice {
	c := &Choice{Values: map[string]*[]string{}}
	for _, k := range Keys() {
		short := ""
		if k.Name == "namespace" {
			short = "n"
		}
		c.Values[k.Name] = set.StringArrayP(k.Name, short, nil, k.Doc)
	}
	set.IntVar(&c.Last, "last", 0, "the latest N that match (default 20, without --since and --all)")
	set.StringVar(&c.Since, "since", "", "what began since then: 10m, or a time as 2006-01-02T15:04:05Z")
	set.BoolVar(&c.All, "all", false, "everything that is kept")
	set.BoolVarP(&c.Follow, "follow", "f", false, "go on with what comes")
	return c
}

// Limit is how many flows are wanted at most, the latest; 0: all.
func (c *Choice) Limit() int {
	if c.Last == 0 && c.Since == "" && !c.All {
		return few
	}
	return c.Last
}

// Filter is the filter that the values make.
func (c *Choice) Filter() (*Filter, error) { return NewFilter(c.filters()) }

// After are the arguments of view "flows" for what comes behind an answer.
func (c *Choice) After(next string) []string {
	return append(c.filters(), "from="+next, "part="+strconv.FormatBool(c.Part))
}

// Args are the arguments of view "flows".
func (c *Choice) Args() []string {
	list := append(c.filters(), "part="+strconv.FormatBool(c.Part))
	if c.Since != "" {
		list = append(list, "since="+c.Since)
	}
	if last := c.Limit(); last > 0 {
		list = append(list, "last="+strconv.Itoa(last))
	}
	return list
}

// Words are the words of the node's command that gives the parts of this choice.
func (c *Choice) Words() []string {
	list := []string{"flows", "--part", "-o", "json"}
	for _, k := range Keys() {
		if v := c.Values[k.Name]; v != nil {
			for _, text := range *v {
				list = append(list, "--"+k.Name+"="+text)
			}
		}
	}
	if c.Since != "" {
		list = append(list, "--since="+c.Since)
	}
	switch {
	case c.Limit() > 0 && (c.Follow || c.sure()):
		list = append(list, "--last="+strconv.Itoa(c.Limit()))
	case c.Since == "":
		list = append(list, "--all")
	}
	if c.Follow {
		list = append(list, "--follow")
	}
	return list
}

// sure tells whether a node's part of a flow matches when the flow does, and else never: then as many parts of each node are enough as flows are wanted.
func (c *Choice) sure() bool {
	for _, k := range Keys() {
		if v := c.Values[k.Name]; v != nil && len(*v) > 0 && k.Name != "protocol" && k.Name != "to-pod" && k.Name != "to-namespace" && k.Name != "to-label" && k.Name != "to-workload" {
			return false
		}
	}
	return true
}

func (c *Choice) filters() (list []string) {
	for _, k := range Keys() {
		if v := c.Values[k.Name]; v != nil {
			for _, text := range *v {
				list = append(list, k.Name+"="+text)
			}
		}
	}
	return list
}
