/*
 * How two peers make, lose and heal sessions: docs/spec.md, "Handshake", "Receiving" and "Which session to send on", as a
 * model that spin searches through completely. docs/model.md says which label here is which function of packages/mesgen, and
 * what is left out.
 *
 * Every fault has a budget, and a timer fires without one only when nothing else can happen. So a run that never ends is a
 * livelock (P6), one that ends elsewhere than in `settled` is a deadlock (P1), and both are found by looking for any cycle and
 * any other end. The bounds and the budgets come from the command line, as do rules to leave out (WITHOUT_...).
 */

#ifndef LIST
#define LIST 10 /* sessions in a list */
#endif
#ifndef LOSSES
#define LOSSES 0 /* envelopes that the way may lose */
#endif
#ifndef FORGETS
#define FORGETS 0 /* times that somebody loses its whole store */
#endif
#ifndef RESTARTS
#define RESTARTS 0 /* times that somebody starts again with its store */
#endif
#ifndef EARLY_TIMERS
#define EARLY_TIMERS 0 /* timers that fire although what they wait for is still on its way */
#endif
#ifndef FORGERIES
#define FORGERIES 0 /* envelopes under a made-up session, in the name of the other */
#endif
#ifndef MAILS
#define MAILS 3 /* envelopes that the relay holds in each direction */
#endif
#ifndef YOUNG
#define YOUNG 0 /* 1: neither store is old enough to judge a first contact */
#endif
#ifndef ESTABLISHED
#define ESTABLISHED 0 /* 1: messages may need an established session */
#endif
#ifndef OFFERS
#define OFFERS 8 /* made in one run; more of them is a fault by itself. At most 8. */
#endif

#define FAULTY_EXCHANGES 2 /* in which faults happen; then none, and in two more both must agree (P8) */
#define EXCHANGES (FAULTY_EXCHANGES + 2)

/* Answers leave at once, after half a second, and after a second more: by then the second that a probe waits is over. */
#define PROBE_ANSWERS 2

#define BIT(id) (1 << ((id) - 1))
#define DATA 1
#define OFFER 2
#define ACCEPTANCE 3
/* The name of a session that nobody has. */
#define NOBODYS 15

/* Both sides see what an ID stands for: that is what its bytes being authentic means. */
byte offers, sessions;
byte makerOf[9], recipientTagOf[9], makerTagOf[9], makerRunOf[9];
byte offerOf[9], acceptorTagOf[9], acceptorRunOf[9];

/* What one side keeps for the other. Sets of sessions and of offers are bit masks. */
typedef Side {
  byte tag;       /* of the own store */
  bit young;      /* the store cannot judge a first contact */
  byte theirTag;  /* 0: unknown */
  byte runs;      /* starts with this store or another */
  byte seenRuns;
  byte count;
  byte list[LIST];
  byte listed, sends, confirmed, followed, named, used, loaded;
  byte accepted, acceptedBefore;
  byte pending;   /* my offer of this run; 0: none */
  bit preferred, yielded, vouched, offerUsed;
  byte toldList;  /* whether the first envelope under it had today's rejected list: 0 none, 1 yes, 2 another */
  byte loadedOffer;
  byte sincePending; /* sessions made since my offer */
  bit needsResent;
  byte sinceNeed; /* sessions made since the mark was set */
  byte probe;     /* the session answered on; 0: none */
  bit probeFailed, probeEndless;
  byte probeAnswers; /* sent meanwhile */
  bit owes;
  byte rejectedOffers, rejectedSessions, vouchedOffers;
  bit rejectedNobodys;
  bit restoredNamed;
  byte message;   /* the number that is not settled; 0: none */
  bit due;        /* it is to leave */
  bit established; /* it needs an established session, if there is one */
  byte under;     /* what it last travelled under: an offer, or 8 + a session */
  byte handled;   /* the highest number handled */
  bit owesReceipt
}
Side S[2];

/* The relay's mailboxes: what is on its way to each, in no order. Sorted, so that bags which are alike look alike. */
typedef Mailbox {
  byte count;
  int what[MAILS];
  int names[MAILS]
}
Mailbox box[2];

byte exchange;
byte losses = LOSSES, forgets = FORGETS, restarts = RESTARTS, earlyTimers = EARLY_TIMERS, forgeries = FORGERIES;

hidden byte k, at, front, old, session, offer, kind, id, number, receipt, envelopeTag, rejO, rejS, vouO, under;
hidden byte names; /* whether the rejected list of the envelope holds anything */
hidden byte lost, fresh, byVouch, isRestored, newStore, refused;
hidden int what, list;

/* ---- The relay */

inline put(to) {
  k = box[to].count;
  do
  :: k > 0 && (box[to].what[k - 1] > what || (box[to].what[k - 1] == what && box[to].names[k - 1] > list)) ->
     box[to].what[k] = box[to].what[k - 1];
     box[to].names[k] = box[to].names[k - 1];
     k--
  :: else -> break
  od;
  box[to].what[k] = what;
  box[to].names[k] = list;
  box[to].count++
}

inline take(to, index) {
  what = box[to].what[index];
  list = box[to].names[index];
  k = index;
  do
  :: k + 1 < box[to].count ->
     box[to].what[k] = box[to].what[k + 1];
     box[to].names[k] = box[to].names[k + 1];
     k++
  :: else -> break
  od;
  box[to].count--;
  box[to].what[box[to].count] = 0;
  box[to].names[box[to].count] = 0
}

/* ---- Tables (peer-table.ts) */

inline findFront(me) {
  front = 0;
  k = 0;
  do
  :: k < S[me].count && (S[me].sends & BIT(S[me].list[k])) -> front = S[me].list[k]; break
  :: k < S[me].count && !(S[me].sends & BIT(S[me].list[k])) -> k++
  :: k >= S[me].count -> break
  od
}

inline dropSession(me, s) {
  S[me].listed = S[me].listed & ~BIT(s);
  S[me].sends = S[me].sends & ~BIT(s);
  S[me].confirmed = S[me].confirmed & ~BIT(s);
  S[me].followed = S[me].followed & ~BIT(s);
  S[me].named = S[me].named & ~BIT(s);
  S[me].used = S[me].used & ~BIT(s);
  S[me].loaded = S[me].loaded & ~BIT(s);
  S[me].sincePending = S[me].sincePending & ~BIT(s);
  S[me].sinceNeed = S[me].sinceNeed & ~BIT(s);
  if
  :: S[me].probe == s -> S[me].probe = 0; S[me].probeFailed = 0; S[me].probeEndless = 0; S[me].probeAnswers = 0
  :: else -> skip
  fi
}

/* `old` was the front: if the leader comes back to it, it is followed again. */
inline noteDisplaced(me) {
#ifndef WITHOUT_FOLLOWING_AGAIN
  old = front;
  findFront(me);
  if
  :: old != 0 && old != front -> S[me].followed = S[me].followed & ~BIT(old)
  :: else -> skip
  fi;
#endif
  front = 0;
  old = 0
}

/* Enters a session at index `at`; the one beyond the end of the list is dropped. */
inline addSession(me, s, canSend) {
  findFront(me);
  S[me].listed = S[me].listed | BIT(s);
  S[me].sincePending = S[me].sincePending | BIT(s);
  S[me].sinceNeed = S[me].sinceNeed | BIT(s);
  if
  :: canSend -> S[me].sends = S[me].sends | BIT(s)
  :: else -> skip
  fi;
  if
  :: at >= LIST -> at = LIST - 1
  :: else -> skip
  fi;
  if
  :: S[me].count == LIST -> dropSession(me, S[me].list[LIST - 1])
  :: else -> S[me].count++
  fi;
  k = S[me].count - 1;
  do
  :: k > at -> S[me].list[k] = S[me].list[k - 1]; k--
  :: else -> break
  od;
  S[me].list[at] = s;
  noteDisplaced(me);
  assert(S[me].count <= LIST)
}

inline moveToFront(me, s) {
  findFront(me);
  k = 0;
  do
  :: S[me].list[k] != s -> k++
  :: else -> break
  od;
  do
  :: k > 0 -> S[me].list[k] = S[me].list[k - 1]; k--
  :: else -> break
  od;
  S[me].list[0] = s;
  noteDisplaced(me)
}

inline clearPending(me) {
  S[me].pending = 0;
  S[me].loadedOffer = 0;
  S[me].preferred = 0;
  S[me].yielded = 0;
  S[me].vouched = 0;
  S[me].offerUsed = 0;
  S[me].toldList = 0;
  S[me].sincePending = 0
}

/* ---- Receiving (mesgen.ts) */

inline clearNeed(me) {
  S[me].needsResent = 0;
  S[me].sinceNeed = 0;
  S[me].probe = 0;
  S[me].probeFailed = 0;
  S[me].probeEndless = 0;
  S[me].probeAnswers = 0
}

inline listChanged(me) {
  if
  :: S[me].toldList == 1 -> S[me].toldList = 2
  :: else -> skip
  fi
}

inline markUnreadable(me) {
#ifndef WITHOUT_ANSWERS
  listChanged(me);
  if
  :: !S[me].needsResent -> S[me].needsResent = 1; S[me].sinceNeed = 0
  :: else -> skip
  fi;
  S[me].owes = 1
#else
  skip
#endif
}

inline sessionUnreadable(me, s) {
  if
  :: s == NOBODYS -> S[me].rejectedNobodys = 1
  :: else -> S[me].rejectedSessions = S[me].rejectedSessions | BIT(s)
  fi;
  markUnreadable(me)
}

inline offerUnreadable(me, o, isStale) {
  S[me].rejectedOffers = S[me].rejectedOffers | BIT(o);
  if
  :: isStale -> S[me].vouchedOffers = S[me].vouchedOffers | BIT(o)
  :: else -> S[me].vouchedOffers = S[me].vouchedOffers & ~BIT(o)
  fi;
  markUnreadable(me)
}

inline loseKey(me, s) {
  S[me].sends = S[me].sends & ~BIT(s)
}

inline nameSession(me, s) {
  S[me].named = S[me].named | BIT(s);
  S[me].rejectedSessions = S[me].rejectedSessions | BIT(s);
  listChanged(me)
}

/* The message that last travelled under what the peer cannot read leaves again. */
inline sendAgain(me) {
  if
  :: S[me].message != 0 -> S[me].due = 1
  :: else -> skip
  fi
}

/* `underOffer`: the offer under which the list came, when that was accepted before. */
inline heedRejected(me, authentic, underOffer) {
  lost = 0;
  if
  :: S[me].pending != 0 && (rejO & BIT(S[me].pending)) && S[me].offerUsed ->
     S[me].preferred = 0;
     if
     :: authentic -> S[me].yielded = 1
     :: else -> skip
     fi;
     if
     :: vouO & BIT(S[me].pending) -> S[me].theirTag = envelopeTag
     :: else -> skip
     fi;
     lost = 1;
     if
     :: S[me].under == S[me].pending -> sendAgain(me)
     :: else -> skip
     fi
  :: else -> skip
  fi;
  id = 1;
  do
  :: id > sessions -> break
  :: id <= sessions ->
     if
     :: (rejS & BIT(id)) && (S[me].sends & BIT(id)) && (S[me].used & BIT(id)) && offerOf[id] != underOffer ->
        loseKey(me, id);
        lost = 1;
        if
        :: S[me].under == 8 + id -> sendAgain(me)
        :: else -> skip
        fi
     :: else -> skip
     fi;
     id++
  od;
  id = 0
}

inline noteRun(me, theirRun, hasNewStore) {
  if
  :: (S[me].seenRuns & (1 << theirRun)) -> skip
  :: else ->
     if
     :: S[me].seenRuns != 0 || hasNewStore -> sendAgain(me)
     :: else -> skip
     fi;
     S[me].seenRuns = S[me].seenRuns | (1 << theirRun)
  fi
}

/* The peer with the smaller ID, 0, leads. */
inline follow(me, s) {
#ifndef WITHOUT_LEADER
  if
  :: me == 1 && !(S[me].followed & BIT(s)) ->
     S[me].followed = S[me].followed | BIT(s);
     if
     :: S[me].sends & BIT(s) ->
        S[me].preferred = 0;
        moveToFront(me, s)
     :: else -> skip
     fi
  :: else -> skip
  fi
#else
  skip
#endif
}

inline confirm(me, s) {
  if
  :: S[me].probe == s || (S[me].needsResent && (S[me].sinceNeed & BIT(s))) -> clearNeed(me)
  :: else -> skip
  fi;
  if
  :: !(S[me].confirmed & BIT(s)) ->
     S[me].confirmed = S[me].confirmed | BIT(s);
     if
     :: S[me].pending != 0 && (S[me].sincePending & BIT(s)) -> clearPending(me)
     :: else -> skip
     fi
  :: else -> skip
  fi
}

/* Delivery, as far as it matters here: handled once, receipted each time. */
inline handle(me) {
  if
  :: number != 0 ->
     if
     :: number > S[me].handled -> S[me].handled = number
     :: else -> skip
     fi;
     S[me].owesReceipt = 1
  :: else -> skip
  fi;
  if
  :: receipt != 0 && S[me].message != 0 && receipt >= S[me].message ->
     S[me].message = 0;
     S[me].due = 0;
     S[me].under = 0
  :: else -> skip
  fi
}

inline oweIfNamed(me) {
  if
  :: names -> S[me].owes = 1
  :: else -> skip
  fi
}

inline openSession(me, s) {
  confirm(me, s);
  follow(me, s);
  if
  :: !(S[me].sends & BIT(s)) && !(S[me].named & BIT(s)) -> nameSession(me, s)
  :: else -> skip
  fi;
  if
  :: makerOf[offerOf[s]] == me -> noteRun(me, acceptorRunOf[s], false)
  :: else -> noteRun(me, makerRunOf[offerOf[s]], false)
  fi;
  heedRejected(me, true, 0);
  oweIfNamed(me);
  handle(me)
}

/* The session by which I answered an offer; 0: it is gone. */
inline findAnswer(me, o) {
  session = 0;
  k = 0;
  do
  :: k >= S[me].count -> break
  :: k < S[me].count && offerOf[S[me].list[k]] == o -> session = S[me].list[k]; break
  :: k < S[me].count && offerOf[S[me].list[k]] != o -> k++
  od
}

inline openEarly(me, o) {
  noteRun(me, makerRunOf[o], false);
  heedRejected(me, true, o);
  if
  :: lost -> S[me].owes = 1
  :: else -> skip
  fi;
  findAnswer(me, o);
  if
  :: session != 0 && me == 1 && (S[me].sends & BIT(session)) && !(S[me].confirmed & BIT(session)) ->
     S[me].preferred = 0;
     clearNeed(me);
     moveToFront(me, session)
  :: else -> skip
  fi;
  if
  :: session == 0 || !((S[me].sends | S[me].confirmed) & BIT(session)) -> offerUnreadable(me, o, false)
  :: else -> skip
  fi;
  handle(me)
}

inline judge(me, o) {
  byVouch = 0;
  fresh = recipientTagOf[o] == S[me].tag || (recipientTagOf[o] == 0 && !S[me].young);
#ifndef WITHOUT_VOUCHING
  if
  :: !fresh && S[me].pending != 0 && !S[me].vouched && (rejO & BIT(S[me].pending)) -> fresh = 1; byVouch = 1
  :: else -> skip
  fi
#endif
}

inline acceptOffer(me, o) {
  assert(sessions < 8);
  sessions++;
  session = sessions;
  offerOf[session] = o;
  acceptorTagOf[session] = S[me].tag;
  acceptorRunOf[session] = S[me].runs;
  newStore = S[me].theirTag != 0 && S[me].theirTag != makerTagOf[o];
  S[me].theirTag = makerTagOf[o];
  S[me].accepted = S[me].accepted | BIT(o);
  at = 0;
  do
  :: at < S[me].count && makerOf[offerOf[S[me].list[at]]] != me && offerOf[S[me].list[at]] > o -> at++
  :: else -> break
  od;
  addSession(me, session, true);
  if
  :: S[me].pending != 0 ->
     if
     :: byVouch -> S[me].vouched = 1
     :: else -> skip
     fi;
     if
     :: rejO & BIT(S[me].pending) -> S[me].yielded = 1; S[me].preferred = 0
     :: else -> S[me].preferred = (me == 0)
     fi
  :: else -> skip
  fi;
  if
  :: S[me].pending == 0 || !S[me].preferred -> clearNeed(me)
  :: else -> skip
  fi;
  noteRun(me, makerRunOf[o], newStore);
  heedRejected(me, true, 0);
  S[me].owes = 1;
  handle(me)
}

inline openOffer(me, o) {
  judge(me, o);
  if
  :: fresh -> acceptOffer(me, o)
  :: else ->
     heedRejected(me, false, 0);
     offerUnreadable(me, o, true)
  fi
}

inline complete(me, s) {
  isRestored = S[me].pending != offerOf[s];
  newStore = S[me].theirTag != 0 && S[me].theirTag != acceptorTagOf[s];
  S[me].theirTag = acceptorTagOf[s];
  if
  :: !isRestored && S[me].toldList == 1 ->
     S[me].rejectedOffers = 0; S[me].rejectedSessions = 0; S[me].vouchedOffers = 0; S[me].rejectedNobodys = 0
  :: else -> skip
  fi;
  S[me].rejectedSessions = S[me].rejectedSessions & ~BIT(s);
  at = 0;
  if
  :: isRestored || S[me].yielded -> at = S[me].count
  :: else ->
     do
     :: at < S[me].count && (S[me].sincePending & BIT(S[me].list[at])) -> at++
     :: else -> break
     od
  fi;
  clearPending(me);
  addSession(me, s, !isRestored);
  S[me].confirmed = S[me].confirmed | BIT(s);
  follow(me, s);
  if
  :: !isRestored -> clearNeed(me)
  :: else -> nameSession(me, s)
  fi;
  noteRun(me, acceptorRunOf[s], newStore);
  heedRejected(me, true, 0);
  oweIfNamed(me);
  handle(me)
}

/* An envelope: type, ID, number, receipt, tag; and the names in its rejected list. */
#define ENVELOPE(type, name, n, r, t) ((type) | ((name) << 2) | ((n) << 6) | ((r) << 9) | ((t) << 12))

inline decode() {
  kind = what & 3;
  id = (what >> 2) & 15;
  number = (what >> 6) & 7;
  receipt = (what >> 9) & 7;
  envelopeTag = (what >> 12) & 7;
  rejO = list & 255;
  rejS = (list >> 8) & 255;
  vouO = (list >> 16) & 255;
  names = (list != 0)
}

/* `refused`: its counter is one that may have been seen before a restart. */
inline open(me) {
  decode();
  printf("%c opens type %d of %d, message %d, receipt %d, rejected offers %d sessions %d; refused %d\n", 65 + me, kind, id, number, receipt, rejO, rejS, refused);
  if
  :: kind != OFFER && id != NOBODYS && (S[me].listed & BIT(id)) ->
     session = id;
     if
     :: refused && (S[me].loaded & BIT(session)) -> sessionUnreadable(me, session)
     :: else -> openSession(me, session)
     fi
  :: kind == OFFER && (S[me].accepted & BIT(id)) ->
     offer = id;
     if
     :: refused && (S[me].acceptedBefore & BIT(offer)) -> offerUnreadable(me, offer, false)
     :: else -> openEarly(me, offer)
     fi
  :: kind == OFFER && !(S[me].accepted & BIT(id)) ->
     offer = id;
     openOffer(me, offer)
  :: else ->
     session = id;
     if
     :: kind == ACCEPTANCE && (offerOf[id] == S[me].pending || offerOf[id] == S[me].loadedOffer) -> complete(me, session)
     :: else -> sessionUnreadable(me, session)
     fi
  fi;
  what = 0; list = 0; kind = 0; id = 0; number = 0; receipt = 0; envelopeTag = 0; rejO = 0; rejS = 0; vouO = 0; names = 0
}

/* ---- Sending (mesgen.ts) */

inline makeOffer(me) {
  assert(offers < OFFERS);
  offers++;
  clearPending(me);
  makerOf[offers] = me;
  recipientTagOf[offers] = S[me].theirTag;
  makerTagOf[offers] = S[me].tag;
  makerRunOf[offers] = S[me].runs;
  S[me].pending = offers;
  S[me].preferred = 1
}

/* What the next envelope travels under: `offer`, or else `session`. */
inline choose(me) {
  findFront(me);
  offer = 0;
  session = 0;
  if
  :: S[me].needsResent ->
     if
#ifdef WITHOUT_THE_SAME_OFFER
     :: S[me].owes -> makeOffer(me); offer = S[me].pending
     :: !S[me].owes && S[me].pending != 0 && !S[me].yielded -> offer = S[me].pending
#else
     :: S[me].pending != 0 && !S[me].yielded -> offer = S[me].pending
#endif
     :: else ->
        if
        :: front != 0 && S[me].pending != 0 && !(S[me].confirmed & BIT(front)) ->
           S[me].probe = front; S[me].probeFailed = 0; S[me].probeAnswers = 0; S[me].probeEndless = 1; session = front
        :: front != 0 && (S[me].confirmed & BIT(front)) && (S[me].sinceNeed & BIT(front)) -> session = front
        :: front != 0 && (S[me].confirmed & BIT(front)) && !(S[me].sinceNeed & BIT(front)) &&
           !(S[me].probe == front && S[me].probeFailed) ->
           if
           :: S[me].probe != front -> S[me].probe = front; S[me].probeFailed = 0; S[me].probeEndless = 0; S[me].probeAnswers = 0
           :: else -> skip
           fi;
           session = front;
           if
           :: S[me].owes && !S[me].probeEndless -> S[me].probeAnswers++; S[me].probeFailed = S[me].probeAnswers >= PROBE_ANSWERS
           :: else -> skip
           fi
        :: else -> makeOffer(me); offer = S[me].pending
        fi
     fi
  :: else ->
     if
     :: S[me].due && S[me].established && front != 0 -> session = front
     :: S[me].pending != 0 && S[me].preferred && !S[me].yielded && !(S[me].due && S[me].established && front != 0) ->
        offer = S[me].pending
     :: else ->
        if
        :: front != 0 -> session = front
        :: else ->
           if
           :: S[me].pending != 0 && !S[me].yielded -> offer = S[me].pending
           :: else -> makeOffer(me); offer = S[me].pending
           fi
        fi
     fi
  fi
}

inline nameRestored(me) {
  if
  :: !S[me].restoredNamed ->
     S[me].restoredNamed = 1;
     id = 1;
     do
     :: id > sessions -> break
     :: id <= sessions ->
        if
        :: (S[me].loaded & BIT(id)) && !(S[me].named & BIT(id)) -> nameSession(me, id)
        :: else -> skip
        fi;
        id++
     od;
     id = 0
  :: else -> skip
  fi
}

inline seal(me) {
  nameRestored(me);
  choose(me);
  list = S[me].rejectedOffers | (S[me].rejectedSessions << 8) | (S[me].vouchedOffers << 16) | (S[me].rejectedNobodys << 24);
  number = (S[me].due -> S[me].message : 0);
  receipt = (S[me].owesReceipt -> S[me].handled : 0);
  if
  :: offer != 0 ->
     S[me].offerUsed = 1;
     under = offer;
     what = ENVELOPE(OFFER, offer, number, receipt, S[me].tag);
     if
     :: S[me].toldList == 0 && list != 0 -> S[me].toldList = 1
     :: else -> skip
     fi
  :: else ->
     S[me].used = S[me].used | BIT(session);
     under = 8 + session;
     if
     :: makerOf[offerOf[session]] != me && !(S[me].confirmed & BIT(session)) ->
        what = ENVELOPE(ACCEPTANCE, session, number, receipt, S[me].tag)
     :: else -> what = ENVELOPE(DATA, session, number, receipt, S[me].tag)
     fi;
     S[me].rejectedOffers = 0;
     S[me].rejectedSessions = 0;
     S[me].vouchedOffers = 0;
     S[me].rejectedNobodys = 0
  fi;
  if
  :: S[me].due -> S[me].due = 0; S[me].under = under
  :: else -> skip
  fi;
  printf("%c sends type %d of %d, message %d, receipt %d, rejected offers %d sessions %d\n", 65 + me, what & 3, (what >> 2) & 15, number, receipt, list & 255, (list >> 8) & 255);
  S[me].owesReceipt = 0;
  S[me].owes = 0;
  put(1 - me);
  what = 0; list = 0; number = 0; receipt = 0; offer = 0; session = 0; front = 0; under = 0
}

/* ---- Those who act */

#define HAS_TO_SAY(me) (S[me].due || S[me].owesReceipt || S[me].owes)
#define QUIET (box[0].count == 0 && box[1].count == 0 && !HAS_TO_SAY(0) && !HAS_TO_SAY(1))
#define SETTLED (S[0].message == 0 && S[1].message == 0)

proctype Peer(bit me) {
  byte index;
end:
  do
  :: atomic {
       box[me].count > 0 ->
       /* The relay holds and reorders: any of the mails comes next. */
       index = 0;
       do
       :: index + 1 < box[me].count -> index++
       :: break
       od;
       if
       :: refused = 0
       :: S[me].loaded != 0 || S[me].acceptedBefore != 0 -> refused = 1
       fi;
       d_step { take(me, index); open(me); index = 0; refused = 0 }
     }
  :: d_step { HAS_TO_SAY(me) && box[1 - me].count < MAILS -> seal(me) }
  od
}

inline forget(me) {
  restart(me);
  S[me].tag++;
  S[me].young = 1;
  S[me].theirTag = 0;
  S[me].count = 0;
  k = 0;
  do
  :: k < LIST -> S[me].list[k] = 0; k++
  :: else -> break
  od;
  S[me].listed = 0;
  S[me].loaded = 0;
  S[me].accepted = 0;
  S[me].acceptedBefore = 0;
  S[me].loadedOffer = 0;
  S[me].handled = 0
}

/* All that is not in the store is gone; what the application wants to say it says again. */
inline restart(me) {
  S[me].runs++;
  printf("%c starts again\n", 65 + me);
  S[me].seenRuns = 0;
  S[me].sends = 0;
  S[me].confirmed = 0;
  S[me].followed = 0;
  S[me].named = 0;
  S[me].used = 0;
  S[me].loaded = S[me].listed;
  S[me].acceptedBefore = S[me].accepted;
  if
  :: S[me].pending != 0 -> offer = S[me].pending
  :: else -> offer = S[me].loadedOffer
  fi;
  clearPending(me);
  S[me].loadedOffer = offer;
  offer = 0;
  clearNeed(me);
  S[me].owes = 0;
  S[me].rejectedOffers = 0;
  S[me].rejectedSessions = 0;
  S[me].vouchedOffers = 0;
  S[me].rejectedNobodys = 0;
  S[me].restoredNamed = 0;
  S[me].under = 0;
  S[me].owesReceipt = 0;
  S[me].due = (S[me].message != 0)
}

inline failProbe(me) {
  printf("%c hears nothing under session %d\n", 65 + me, S[me].probe);
  S[me].probeFailed = 1;
  S[me].owes = 1
}

#define HAS_PROBE(me) (S[me].probe != 0 && !S[me].probeFailed && !S[me].probeEndless)
#define HAS_FLIGHT(me) (S[me].message != 0 && !S[me].due)

/* The sending keys behind the front are erased. */
inline fade(me) {
  printf("%c erases the keys behind its front\n", 65 + me);
  findFront(me);
  if
  :: front != 0 -> S[me].sends = BIT(front)
  :: else -> skip
  fi;
  front = 0
}

/* What an application message would travel under (Mesgen.preferred). */
inline findPreferred(me) {
  findFront(me);
  if
  :: S[me].pending != 0 && !S[me].yielded && (S[me].preferred || S[me].needsResent) -> at = S[me].pending
  :: else -> at = 8 + front
  fi
}

proctype Fate() {
  do
  /* Losses, on the way or because the relay forgot. */
  :: d_step { losses > 0 && box[0].count > 0 -> losses--; take(0, 0); what = 0; list = 0 }
  :: d_step { losses > 0 && box[0].count > 1 -> losses--; take(0, box[0].count - 1); what = 0; list = 0 }
  :: d_step { losses > 0 && box[1].count > 0 -> losses--; take(1, 0); what = 0; list = 0 }
  :: d_step { losses > 0 && box[1].count > 1 -> losses--; take(1, box[1].count - 1); what = 0; list = 0 }
  /* Crashes. */
  :: d_step { forgets > 0 -> forgets--; forget(0) }
  :: d_step { forgets > 0 -> forgets--; forget(1) }
  :: d_step { restarts > 0 && (S[0].listed | S[0].pending | S[0].accepted) != 0 -> restarts--; restart(0) }
  :: d_step { restarts > 0 && (S[1].listed | S[1].pending | S[1].accepted) != 0 -> restarts--; restart(1) }
  /* A stranger who knows both IDs. */
  :: d_step { forgeries > 0 && box[0].count < MAILS -> forgeries--; what = ENVELOPE(DATA, NOBODYS, 0, 0, 0); list = 0; put(0); what = 0 }
  :: d_step { forgeries > 0 && box[1].count < MAILS -> forgeries--; what = ENVELOPE(DATA, NOBODYS, 0, 0, 0); list = 0; put(1); what = 0 }
  /* Timers that fire too early, because the way is slow. */
  :: d_step { earlyTimers > 0 && HAS_FLIGHT(0) -> earlyTimers--; S[0].due = 1 }
  :: d_step { earlyTimers > 0 && HAS_FLIGHT(1) -> earlyTimers--; S[1].due = 1 }
  :: d_step { earlyTimers > 0 && HAS_PROBE(0) -> earlyTimers--; failProbe(0) }
  :: d_step { earlyTimers > 0 && HAS_PROBE(1) -> earlyTimers--; failProbe(1) }
  :: d_step { earlyTimers > 0 && S[0].sends != 0 -> earlyTimers--; fade(0) }
  :: d_step { earlyTimers > 0 && S[1].sends != 0 -> earlyTimers--; fade(1) }
  /* Timers that fire when they should: nothing is on its way any more. */
  :: d_step { QUIET && HAS_FLIGHT(0) -> S[0].due = 1 }
  :: d_step { QUIET && HAS_FLIGHT(1) -> S[1].due = 1 }
  :: d_step { QUIET && HAS_PROBE(0) -> failProbe(0) }
  :: d_step { QUIET && HAS_PROBE(1) -> failProbe(1) }
  /* The next exchange begins when all is settled. As long as there are faults, mail of the last one may still be held. */
  :: atomic {
       SETTLED && exchange < EXCHANGES && (exchange < FAULTY_EXCHANGES || QUIET) ->
       exchange++;
       printf("exchange %d\n", exchange);
       if
       :: exchange > FAULTY_EXCHANGES ->
          losses = 0; forgets = 0; restarts = 0; earlyTimers = 0; forgeries = 0
       :: else -> skip
       fi;
       if
       :: ESTABLISHED && exchange <= FAULTY_EXCHANGES -> S[0].established = 1; S[1].established = 1
       :: S[0].established = 0; S[1].established = 0
       fi;
       if
       :: S[0].message = exchange; S[0].due = 1; S[1].message = exchange; S[1].due = 1
       :: exchange <= FAULTY_EXCHANGES -> S[0].message = exchange; S[0].due = 1
       :: exchange <= FAULTY_EXCHANGES -> S[1].message = exchange; S[1].due = 1
       fi
     }
  :: d_step { SETTLED && exchange == EXCHANGES && QUIET -> findPreferred(0); kind = at; findPreferred(1) ; assert(kind == at); kind = 0; at = 0; front = 0 } -> break
  od
}

init {
  atomic {
    S[0].tag = 1;
    S[1].tag = 1;
    S[0].young = YOUNG;
    S[1].young = YOUNG;
    run Peer(0);
    run Peer(1);
    run Fate()
  }
}
