-- Concat beyond the longest string.
-- load: ok
-- call: limit
return function()
  local s = ("x"):rep(1000)
  return table.concat(setmetatable({}, { __index = function() return s end }), s, 1, 1 << 40)
end
