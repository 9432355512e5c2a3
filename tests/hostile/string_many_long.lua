-- Many long strings that all live.
-- load: ok
-- call: steps|memory|time
return function() local t = {} for i = 1, 1e9 do t[i] = ("x"):rep(60000) .. i end end
