mod baselines;
