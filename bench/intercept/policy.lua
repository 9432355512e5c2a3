return {
  name = "intercept-bench",
  connect = function(c) return allow() end,
  sni = function(s) return terminate() end,
}
