-- As many pcalls as may be, under as many calls as may be.
-- load: ok
-- call: steps|time|policy
return function()
  local function nest(n) if n == 0 then while true do end end pcall(nest, n - 1) end
  local function deep(n) if n == 0 then nest(190) return 1 end return 1 + deep(n - 1) end
  return deep(12000)
end
