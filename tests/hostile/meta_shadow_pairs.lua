-- A shadow through pairs, next and the events of a frozen table.
-- load: ok
-- call: ok
-- result: true
local t = setmetatable({ x = 1 }, { __index = function(self) return self end, __len = function(self) return self end,
  __call = function(self) return self end, __concat = function(self) return self end, __unm = function(self) return self end })
return function()
  local _, s, c = pairs(t)
  return t.nothing == t and #t == t and t() == t and t .. "" == t and -t == t and s == t and c == nil and next(t) == "x"
end
