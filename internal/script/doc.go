// Package script holds the main kind of test: scripts that tell the daemon what is true and show what it
// makes of that. It has no code of its own beside its tests.
//
// A script is a txtar file in testdata. Before the first file stand its lines, one step each:
//
//	# what the script shows
//	flags --enable-ipv6 --run-router=false   flags of the daemon; our node is n1
//	show nft rtnl skeleton                   the tables to print (all, unless said); skeleton: static rows too
//	flow udp CLIENT FRONT ENDPOINT           a connection that stands in the kernel before the daemon starts
//	without mh lblc                          schedulers that the kernel's IPVS doesn't have
//	link eth0 10.0.0.1/24 mtu=1500           a link of the node with its addresses; unlink eth0
//	path 10.9.0.0/16 via 10.0.0.9 external   a prefix learned from peers; unpath 10.9.0.0/16
//	apply web.yaml                           objects of a file here, or of one in testdata
//	delete Service default/web               an object goes
//	look loser                               prints intents and remarks as they are now, in section "at loser"
//
// After the input come the sections expected: intents, remarks, the rows of each table in the words of its
// tool, and the kernel: whatever is not as wanted, and what no row shows. `go test ./internal/script -update`
// writes them. Then every script is played again in other ways (see plays): reversed, shuffled, said twice,
// in one batch, with restarts, with one operation in ten failing, with a stranger who removes rows. All must
// end alike, to the last row of the fake kernel: what is written follows from what is true now. And after each,
// cleanup must leave the fake kernel as it was. TestStories does the same with random mixtures of all that scripts
// say; `-stories 200` tells more of them.
package script
