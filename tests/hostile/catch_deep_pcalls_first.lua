-- Many pcalls first, and many calls above each of them.
-- load: ok
-- call: steps|time|policy
return function()
  local function deep(n) if n == 0 then error("deep") end return 1 + deep(n - 1) end
  local function nest(n) pcall(deep, 500) if n > 0 then pcall(nest, n - 1) end pcall(deep, 500) end
  while true do nest(40) end
end
