-- A counter through _ENV and _G.
-- load: ok
-- call: policy
return function() _ENV._G.n = 1 end
