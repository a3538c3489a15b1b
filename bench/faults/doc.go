// Command faults plays histories: several clients work on one instance of three
// nodes while faults happen to it, and everything they were told is held against
// what the API may do.
//
//	go run ./bench/faults [--histories 10] [--seed N] [--for 20s] [--clients 6] [--parallel 2] [--faults kill,pause,…] [--program PATH | --short-log] [--log debug] [--json]
//	go run ./bench/faults --check FOLDER/history.json
//
// It needs root, Linux and Versity's S3 gateway: the nodes are processes of the
// built program, each with a network and a disk of its own (package lab). Seeds
// count up from the one that is given. A seed decides the faults and what each
// client wants; when what meets what is the machine's. A history in which something
// is found keeps its folder: logs of the nodes, what happened when (events), every
// call (history.json), and a picture for each bundle whose history is illegal. The
// exit status is 1 then, also for what could not be decided.
//
// # What happens
//
// Clients make bundles and drafts, PATCH (now and then at a revision), commit,
// delete and read. Half of them stay with one node, the others choose one for each
// request. They wait
// ten seconds for an answer, and now and then less than two. A change of which they don't know what became is
// sent again with its Idempotency-Key, through another node, if it has one.
// Meanwhile one fault follows the other: kill (-9) and restart, pause (SIGSTOP),
// partition of two nodes, one-way loss, an isolated node, slow links, a disk that
// hangs again and again (crawl), that hangs (freeze), that is full; a bucket that
// fails or is slow (s3); and leadership that is handed over (transfer). Three of five
// strike the leader; kill and pause now and then two nodes, or all. During one of
// four another node's links, its disk or the bucket are slow as well.
//
// Then all is healed, and everything is read from every node.
//
// # What must be so
//
//   - The calls on one bundle fit into one order, in which each takes effect
//     between its request and its answer and is answered as the model says
//     (model.go); porcupine looks for that order. A change whose outcome is open
//     may take effect at any time, or never; one that was refused with 503 or 507
//     has none, unless the text says that its outcome is unknown. Reads at the levels
//     consistent and strong count, unless they are marked stale.
//   - Stale reads, and those at level local, show what was there once (invented reads).
//   - Every acknowledged version is on every node (lost writes), its number is the
//     next one and of one commit (gaps and twins), and every byte of every
//     version can be read from every node (unreadable bytes).
//   - The logical dumps of all catalogs are equal (differing dumps).
//   - No answer is 500, and no refusal is other than what the model knows:
//     404 of what is not there, 412, conflicts and "no changes" of a commit (unexplained
//     answers). A disk that is full may be answered 507.
//   - No node ends by itself, except by a full disk (nodes that ended), and every
//     node is well within a minute after the faults (not healed).
//
// A check that would take too long or too much memory is undecided, which is not
// legal.
package main
