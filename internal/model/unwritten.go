package model

// Unwritten is that rows of policies can't be written on this node, and have not been for a while.
type Unwritten struct {
	Owners []string // who wants the rows, as the ledger names them; sorted
	All    bool     // the whole table can't be read or written
}

// Ref names what there is one of at most.
func (*Unwritten) Ref() Ref { return Ref{Kind: KindUnwritten} }
