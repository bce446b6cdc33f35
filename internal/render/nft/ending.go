package nft

import "kube-router/internal/row"

// What ends for a reason other than a pod's policies goes to a chain that counts it, logs some and ends it. What passes never gets there, and pays
// nothing for it.
const (
	chainNoEndpoint = chainRefuse + "-none"   // the front has none
	chainNoPort     = chainRefuse + "-port"   // the address is one of Services, and none has the port
	chainNoLocal    = chainRefuse + "-local"  // the front has none here, by its traffic policy
	chainSource     = chainRefuse + "-source" // the client is outside of loadBalancerSourceRanges
	chainLimited    = "ipvs-refuse-limited"   // one of the latter two, which IPVS's rules find as one; it stays with them while IPVS has connections
)

// endLogRate and endLogBurst bound the packets logged a minute for each of these reasons, whoever sends them: a client that tries again makes no more of its
// record, and what isn't logged is counted all the same.
const (
	endLogRate  = 600
	endLogBurst = 100
)

// ending is a chain that counts, logs and ends what gets there. The reason is the prefix with which it is logged.
func ending(chain row.NftChain, reason string, end ...row.NftBody) []row.Nft {
	log := body(counter(), row.NftStmt{Op: row.NftLimit, Num: endLogRate, Last: endLogBurst},
		row.NftStmt{Op: row.NftLog, Num: PolicyLogGroup, Last: logSnap, Text: reason + " "})
	rules := append([]row.NftBody{log}, end...)
	if chain.Bridge {
		return append([]row.Nft{chain}, row.NftBridgeRules(chain.Name, rules...)...)
	}
	return append([]row.Nft{chain}, row.NftRules(chain.Name, rules...)...)
}

// resetting ends TCP by a reset and all else by port unreachable.
func resetting() []row.NftBody {
	return []row.NftBody{body(match(row.NftTerm{Op: row.NftL4proto}, 6), row.NftStmt{Op: row.NftReject, Num: 1}), body(row.NftStmt{Op: row.NftReject})}
}

func dropping() []row.NftBody { return []row.NftBody{body(dropIt())} }

// serviceEndings are those of Services, of both engines.
func serviceEndings() (rows []row.Nft) {
	rows = append(rows, ending(row.NftChain{Name: chainNoEndpoint}, "no endpoint", resetting()...)...)
	rows = append(rows, ending(row.NftChain{Name: chainNoPort}, "no port", resetting()...)...)
	rows = append(rows, ending(row.NftChain{Name: chainNoLocal}, "no local endpoint", dropping()...)...)
	return append(rows, ending(row.NftChain{Name: chainSource}, "source range", dropping()...)...)
}
