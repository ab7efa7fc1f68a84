/** What the page says, in English and Korean. `{name}` in a text is filled in by `say`. */

/** @type {Record<string, [en: string, ko: string]>} */
const TEXTS = {
  skip: ["Skip to the chart", "차트로 건너뛰기"],
  market: ["Coin or symbol", "코인 또는 심볼"],
  marketAll: ["all its markets", "모든 마켓"],
  marketNone: ["No such coin or symbol", "해당하는 코인이나 심볼이 없습니다"],
  interval: ["Interval", "간격"],
  price: ["Last price", "현재가"],
  takers5: ["Takers, 5 min", "테이커 5분"],
  premium: ["Korea premium", "김치 프리미엄"],
  newest: ["Newest minute", "최신 분봉"],
  connection: ["Connection", "연결"],
  table: ["Table", "표"],
  settings: ["Settings", "설정"],
  keys: ["Keys", "단축키"],
  chart: ["Chart", "차트"],
  chartLabel: [
    "Chart of {market}, {interval}: price, taker buy and sell volume, CVD, {fourth}",
    "{market} {interval} 차트: 가격, 테이커 매수·매도량, CVD, {fourth}",
  ],
  chartHelp: [
    "Left and right arrow step through the bars, Home and End jump, Escape leaves the bar. T shows the same data as a table, question mark lists all keys.",
    "좌우 화살표로 봉을 이동하고 Home과 End로 처음과 끝으로 갑니다. Esc로 봉 선택을 해제합니다. T는 같은 데이터를 표로, 물음표는 모든 단축키를 보여 줍니다.",
  ],
  cvdOf: ["CVD", "CVD"],
  cvdTotal: ["CVD total", "CVD 합계"],
  cvdExchange: ["by exchange", "거래소별"],
  fourthPane: ["Fourth pane", "네 번째 창"],
  premiumShort: ["Premium", "프리미엄"],
  spread: ["Spread", "스프레드"],
  depth: ["Depth", "호가 잔량"],
  toLive: ["Back to now", "현재로"],
  exchanges: ["Exchanges side by side", "거래소 비교"],
  exchange: ["Exchange", "거래소"],
  bpsTitle: ["Basis points to the reference market, in US dollars", "기준 마켓 대비 베이시스 포인트(미국 달러 환산)"],
  share5: ["Buy 5 min", "매수 5분"],
  share60: ["Buy 1 h", "매수 1시간"],
  spreadDepth: ["Spread · depth", "스프레드 · 잔량"],
  health: ["Health", "상태"],
  reference: ["Make {market} the reference", "{market}을(를) 기준으로"],
  isReference: ["{market} is the reference", "{market}이(가) 기준입니다"],
  include: ["Count {market} in the totals", "{market}을(를) 합계에 포함"],
  exchangesNote: [
    "bps: to {market}, in US dollars at the traded rate. Checked markets count in the chart. Spread in bps; depth within 10 bps, bid / ask, in {base}, of perpetuals in the exchange's own unit (≥: the book ends before).",
    "bps: {market} 대비, 거래 환율로 달러 환산. 체크한 마켓이 차트에 합산됩니다. 스프레드는 bps, 잔량은 10bps 이내 매수/매도, {base} 단위이며 무기한 계약은 거래소 단위(≥: 호가창이 그 전에 끝남).",
  ],
  feeds: ["Feeds and incidents", "피드와 장애"],
  since: ["Since", "시작"],
  feed: ["Feed", "피드"],
  what: ["What", "내용"],
  madeGood: ["Made good", "복구"],
  exchangesCount: ["{count} exchanges", "거래소 {count}곳"],
  incidentsNone: ["No incident in the last 24 hours.", "최근 24시간 장애 없음."],
  incidentsSome: ["{count} in the last 24 hours, {open} still open. Filled ones are whole again.", "최근 24시간 {count}건, 진행 중 {open}건. 채워진 구간은 온전합니다."],
  stillOpen: ["still missing", "아직 누락"],
  filledAfter: ["after {time}", "{time} 뒤 채움"],
  endedAfter: ["{time}, not filled", "{time}, 미복구"],
  flowTrades: ["Trades", "체결"],
  flowBooks: ["Order books", "호가"],
  flowTickers: ["Tickers", "시세"],
  flowAge: ["{time} old", "{time} 전"],
  flowNone: ["nothing yet", "아직 없음"],
  close: ["Close", "닫기"],
  older: ["Older", "이전"],
  csv: ["CSV", "CSV"],
  docs: ["API documents", "API 문서"],
  healthPage: ["Health", "상태"],
  metricsPage: ["Metrics", "지표"],
  language: ["Language", "언어"],
  theme: ["Theme", "테마"],
  themeSystem: ["As the system", "시스템 설정"],
  themeDark: ["Dark", "어둡게"],
  themeLight: ["Light", "밝게"],
  palette: ["Colours of buy and sell", "매수·매도 색"],
  paletteGreen: ["Green and red", "초록과 빨강"],
  paletteKorea: ["Red and blue (Korea)", "빨강과 파랑(한국식)"],
  paletteBlue: ["Blue and orange (colour-blind safe)", "파랑과 주황(색각 배려)"],
  timeZone: ["Times", "시간대"],
  zoneLocal: ["Of this computer", "이 컴퓨터"],
  zoneNote: ["Times in {zone}", "시간대: {zone}"],

  buy: ["buy", "매수"],
  sell: ["sell", "매도"],
  buyShare: ["buy share", "매수 비율"],
  delta: ["delta", "델타"],
  cvdSince: ["CVD since {time}", "{time} 이후 CVD"],
  vwapDay: ["VWAP of the day (UTC)", "당일 VWAP (UTC)"],
  vwapBar: ["VWAP", "VWAP"],
  spreadLegend: ["Spread of {market}, bps", "{market} 스프레드, bps"],
  depthLegend: ["Depth of {market} within 10 bps", "{market} ±10bps 잔량"],
  bid: ["bid", "매수호가"],
  ask: ["ask", "매도호가"],
  open: ["still open", "진행 중"],
  incomplete: ["incomplete", "불완전"],
  missing: ["no data: outage", "데이터 없음: 장애"],
  awaited: ["not here yet", "아직 없음"],
  unknown: ["completeness not known", "완전성 미확인"],
  coarse: ["{span} bar, drawn as its mean per {interval}", "{span} 봉, {interval} 평균으로 표시"],
  none: ["none", "없음"],
  shareSpoken: ["buy {buy}, sell {sell}", "매수 {buy}, 매도 {sell}"],

  auditShare: ["{share}% equal", "{share}% 일치"],
  auditTitle: [
    "Of {audited} minutes of the last day held against the exchange's own klines, {equal} are equal and {different} differ without a known reason.",
    "최근 24시간 거래소 캔들과 대조한 {audited}분 중 {equal}분 일치, {different}분은 원인 없는 차이.",
  ],
  healthGood: ["live", "정상"],
  healthLate: ["late {time}", "{time} 지연"],
  healthBad: ["outage", "장애"],
  healthGap: ["gap", "누락"],
  healthQuiet: ["silent", "무소식"],
  healthWait: ["no data", "데이터 없음"],

  stateConnecting: ["connecting", "연결 중"],
  stateLive: ["live", "실시간"],
  statePolling: ["cut, asking", "끊김, 조회 중"],
  stateOffline: ["API away", "API 응답 없음"],
  stateDatabase: ["database away", "DB 응답 없음"],
  ageOld: ["{time} old", "{time} 전"],

  noticeOffline: ["The API does not answer", "API가 응답하지 않습니다"],
  noticeOfflineText: [
    "What you see was right at {time}. The page asks again by itself and fetches what it missed.",
    "화면은 {time} 기준입니다. 자동으로 다시 연결하고 놓친 데이터를 가져옵니다.",
  ],
  noticeDatabase: ["The database does not answer", "데이터베이스가 응답하지 않습니다"],
  noticeDatabaseText: [
    "The API runs and says: {detail}. What you see was right at {time}; it comes back by itself.",
    "API 메시지: {detail}. 화면은 {time} 기준이며 자동으로 복구됩니다.",
  ],
  noticeCut: ["The live stream is cut", "실시간 스트림이 끊겼습니다"],
  noticeCutText: ["The page asks every few seconds until it is back.", "복구될 때까지 몇 초마다 조회합니다."],
  noticeStale: ["No newer minute for {time}", "{time} 동안 새 분봉이 없습니다"],
  noticeStaleText: [
    "The API answers, but the feeds or the taker volume dataflow do not bring anything. See feeds and incidents.",
    "API는 응답하지만 피드나 데이터플로가 새 데이터를 보내지 않습니다. 피드와 장애를 확인하세요.",
  ],
  noticeClock: ["This computer's clock is {time} {direction}", "이 컴퓨터의 시계가 {time} {direction}"],
  noticeClockText: ["Ages on this page follow the server's clock.", "이 화면의 경과 시간은 서버 시계를 따릅니다."],
  ahead: ["ahead", "빠릅니다"],
  behind: ["behind", "느립니다"],
  noticeSlept: ["This computer was asleep for {time}", "이 컴퓨터가 {time} 동안 절전 상태였습니다"],
  noticeSleptText: ["Fetching what was missed.", "놓친 데이터를 가져오는 중입니다."],
  noticeSimulator: ["Simulated exchanges", "시뮬레이터 데이터"],
  noticeSimulatorText: ["These prices are made up by the simulator on this machine. “make live” shows the real exchanges.", "이 가격은 이 컴퓨터의 시뮬레이터가 만든 것입니다. 실제 거래소는 “make live”로 봅니다."],
  noticeRefused: ["The API refused a question", "API가 요청을 거절했습니다"],
  noticePart: ["A part of this page is missing", "일부 정보를 표시할 수 없습니다"],
  waiting: ["{market}: waiting for the API …", "{market}: API 응답 대기 중 …"],
  loading: ["Loading {market} …", "{market} 불러오는 중 …"],
  young: ["{count} minutes so far: one more each minute", "지금까지 {count}분: 1분마다 하나씩 늘어납니다"],
  emptyYet: [
    "No minute of {market} yet.\nThe first one appears seconds after the first trade; nothing needs to be reloaded.",
    "{market}의 분봉이 아직 없습니다.\n첫 체결 몇 초 뒤에 나타나며 새로고침할 필요가 없습니다.",
  ],

  time: ["Time", "시각"],
  bars: ["{market}, {interval}", "{market}, {interval}"],
  state: ["State", "상태"],
  final: ["final", "확정"],
  whole: ["whole", "온전"],

  keySearch: ["Find a coin or symbol", "코인·심볼 검색"],
  keyInterval: ["Interval 1m … 1d", "간격 1m … 1d"],
  keyStep: ["Step through the bars (with Shift: 10)", "봉 이동(Shift: 10개)"],
  keyPage: ["Scroll the chart by a page", "차트를 한 화면 이동"],
  keyHome: ["First and newest loaded bar", "처음·최신 봉"],
  keyZoom: ["Zoom in and out", "확대·축소"],
  keyLive: ["Back to now", "현재로"],
  keyTable: ["Data as a table", "데이터를 표로"],
  keyCvd: ["CVD: total or by exchange", "CVD: 합계·거래소별"],
  keyFourth: ["Fourth pane: premium, spread, depth", "네 번째 창: 프리미엄·스프레드·잔량"],
  keyExchanges: ["Go to the exchanges, the feeds", "거래소, 피드로 이동"],
  keyChart: ["Go to the chart", "차트로 이동"],
  keyTheme: ["Theme", "테마"],
  keyPalette: ["Colours", "색상"],
  keyLanguage: ["Language", "언어"],
  keyHelp: ["This list", "이 목록"],
  keyEscape: ["Leave the bar, close what is open", "봉 해제, 닫기"],
};

/** @returns {"en" | "ko"} */
export const language = () => (document.documentElement.lang === "ko" ? "ko" : "en");

/**
 * Return a text in the page's language.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function say(key, values = {}) {
  const text = TEXTS[key]?.[language() === "ko" ? 1 : 0];
  if (text === undefined) throw new Error(`no text is named ${key}`);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/** Put the texts of the page's language into the elements that name one. */
export function translatePage() {
  for (const node of document.querySelectorAll("[data-text]")) {
    node.textContent = say(/** @type {HTMLElement} */ (node).dataset.text ?? "");
  }
  for (const node of document.querySelectorAll("[data-label]:not(#chart)")) {
    node.setAttribute("aria-label", say(/** @type {HTMLElement} */ (node).dataset.label ?? ""));
  }
  for (const node of document.querySelectorAll("[data-title]")) {
    node.setAttribute("title", say(/** @type {HTMLElement} */ (node).dataset.title ?? ""));
  }
}
